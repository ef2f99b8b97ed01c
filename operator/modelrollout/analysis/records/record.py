"""A rollout's evidence as a file: what was judged and every look, enough to judge it again.

`modelrollout record` writes it and `modelrollout replay` reads it. JSON:

    {"falseRevertRisk": 0.01, "missRisk": 0.05, "plannedLooks": 20,
     "metrics": [{"name": "errors", "kind": "ratio", "tolerate": {"ratio": 1.0, "absolute": 0.005},
                  "prior": {"rate": 0.005, "weight": 200}, "weight": 1.0, "phi": 1.0,
                  "looks": [{"canary": {"bad": 3, "total": 100}, "control": {"bad": 0, "total": 100}}]}]}

Optional at the top: `about` (a line for people), `reports` (of experiments and bandits, for people: a list of
name, markdown and, as SVG, picture), `interval` (seconds per look, 30) or `times` ([[start, end],
...], unix seconds), and `steps` ([{"look": 21, "margin": 2, "carry": true, "alike": true},
...]): a step begins before that look, with the terms of `ladder.StepTerms`; promotion evidence begins anew
unless it is carried. Optional per metric: what `Metric` has, in camelCase, where its `tolerance` is named
`tolerate`, its `edges` `decidingEdges` and its `load` `feelsLoad`; `phi` is a design effect to judge with as
it is, `phiHistory` one that was learned before the rollout and that its own looks may raise. What is absent
has the operator's default.

An arm of a look is, by kind:

    ratio      {"bad": 3, "total": 100}; "cut": 2, those of them that ended with their process, are left out
               where a breakdown is judged
    counting   {"count": 1, "exposure": 1800}
    histogram  {"edges": [0.1, 0.5], "counts": [60, 30, 10]}, one count more than edges, not cumulative;
               "sum": 61.5, the sum of the values, is judged where the buckets are too coarse
    mean       {"values": [0, 0.5, 1], "counts": [2, 8, 10]} or {"sum": 14, "n": 20}
    scalar     {"value": 0.31} or {"sum": 31, "n": 100}

A look of it may have "load": requests per pod of the canary over those of the control; and "begun": requests
that the canary got, where they are counted sooner.
A look that could not be used is {"problem": {"kind": "NoData", "message": "..."}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.inputs.metric import Consequence, Metric, Tolerance
from modelrollout.analysis.inputs.observation import (
    Events,
    Histogram,
    Levels,
    Look,
    Observation,
    Problem,
    ProblemKind,
    Ratio,
    Scalar,
    Sum,
)
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.api.mistakes import Mistaken, sentences


@dataclass(frozen=True, slots=True)
class Record:
    plan: Plan
    looks: tuple[Look, ...]
    observations: tuple[Mapping[str, Observation], ...]
    """Per look."""
    steps: Mapping[int, StepTerms] = field(default_factory=dict)
    """The terms of the steps, each by the look before which it begins, counted from 1."""
    about: str = ""
    """Which rollout, for people."""
    reports: tuple[Mapping[str, str], ...] = ()
    """Of its experiments and bandits, for people: name, markdown and, as SVG, picture."""


def read(text: str, name: str = "the record") -> Record:
    """The record in a JSON text. Raises Mistaken with one sentence per mistake, each with its place in the
    file of this name."""
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        raise Mistaken([f"{name}: {text}" for text in sentences(error, _FIELDS)]) from error
    times = file.times or tuple((i * file.interval, (i + 1) * file.interval) for i in range(file.length))
    columns = {metric.name: metric.looks for metric in file.metrics}
    return Record(
        plan=file.plan(),
        looks=tuple(Look(start, end) for start, end in times),
        observations=tuple({name: looks[i] for name, looks in columns.items()} for i in range(file.length)),
        steps={step.look: StepTerms(step.margin, step.carry, step.alike) for step in file.steps},
        about=file.about,
        reports=file.reports,
    )


def write(record: Record) -> str:
    """The record as a JSON text that `read` reads."""
    plan = record.plan
    file = _File(
        about=record.about,
        reports=tuple(dict(report) for report in record.reports),
        false_revert_risk=plan.false_revert_risk,
        miss_risk=plan.miss_risk,
        planned_looks=plan.planned_looks,
        times=tuple((look.start, look.end) for look in record.looks),
        steps=tuple(
            _Step(terms.margin, terms.carry, terms.alike, look=look) for look, terms in record.steps.items()
        ),
        metrics=tuple(
            _Measured.of(metric, [row.get(metric.name) for row in record.observations])
            for metric in plan.metrics
        ),
    )
    return file.model_dump_json(by_alias=True, exclude_none=True)


_RECOGNISED_BY = {
    "bad": "Ratio",
    "exposure": "Events",
    "edges": "Histogram",
    "values": "Levels",
    "n": "Sum",
    "value": "Scalar",
}


def _kind_of_arm(arm: Any) -> str | None:
    if isinstance(arm, Mapping):
        return next((kind for name, kind in _RECOGNISED_BY.items() if name in arm), None)
    return type(arm).__name__


_Arm = Annotated[
    Annotated[Ratio, Tag("Ratio")]
    | Annotated[Events, Tag("Events")]
    | Annotated[Histogram, Tag("Histogram")]
    | Annotated[Levels, Tag("Levels")]
    | Annotated[Sum, Tag("Sum")]
    | Annotated[Scalar, Tag("Scalar")],
    Discriminator(
        _kind_of_arm,
        custom_error_type="arm",
        custom_error_message=f"An arm has one of the fields {', '.join(_RECOGNISED_BY)}",
    ),
]


@dataclass(frozen=True, slots=True)
class _Look(Observation):
    canary: _Arm | None = None
    control: _Arm | None = None


@dataclass(frozen=True, slots=True)
class _Step(StepTerms):
    look: int = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class _Measured(Metric):
    """A metric and what each look saw of it."""

    tolerance: Annotated[Tolerance, Field(alias="tolerate")] = field(default_factory=Tolerance)
    edges: Annotated[tuple[float, ...], Field(alias="decidingEdges")] = ()
    load: Annotated[bool | None, Field(alias="feelsLoad")] = None
    watch_noise: Annotated[bool, Field(exclude=True)] = field(default=True, init=False)
    """In a file, `phi_history` stands for it."""
    phi_history: float | None = None
    looks: tuple[_Look, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        Metric.__post_init__(self)
        if self.baseline is not None and (fault := self.baseline.fault()):
            raise ValueError(f'Metric "{self.name}": its baseline is refused. {fault}')
        for number, look in enumerate(self.looks):
            found = checks.check(self, look)
            if isinstance(found, Problem) and look.problem is None and found.kind in _REFUSED:
                raise ValueError(f'Metric "{self.name}", looks[{number}]: {found.message}')

    @classmethod
    def of(cls, metric: Metric, column: list[Observation | None]) -> _Measured:
        """The metric with every default filled in."""
        values = {each.name: getattr(metric, each.name) for each in fields(Metric)}
        noise = "phi_history" if values.pop("watch_noise") else "phi"
        values |= {
            "critical": metric.is_critical,
            "consequence": Consequence.REVERT if metric.reverts else Consequence.HOLD,
            "load": metric.feels_load,
            "phi": None,
            noise: metric.phi,
        }
        return cls(**values, looks=tuple(_usable(metric, seen) for seen in column))

    def metric(self) -> Metric:
        values = {each.name: getattr(self, each.name) for each in fields(Metric)}
        phi = self.phi_history if self.phi is None else self.phi
        return Metric(**values | {"phi": phi, "watch_noise": self.phi is None})


_REFUSED = (ProblemKind.INVALID, ProblemKind.NO_DATA)


def _usable(metric: Metric, seen: Observation | None) -> _Look:
    """The look, or why it cannot be used: a file holds no counts that would be refused."""
    checked = checks.check(metric, seen)
    if seen is None or isinstance(checked, Problem):
        return _Look(problem=checked if isinstance(checked, Problem) else None)
    values = {each.name: getattr(seen, each.name) for each in fields(Observation)}
    return _Look(**values | dict(zip(("canary", "control"), checked, strict=True)))


class _File(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, allow_inf_nan=False
    )
    about: str = ""
    reports: tuple[dict[str, str], ...] = ()
    false_revert_risk: float = 0.01
    miss_risk: float = 0.05
    planned_looks: int | None = None
    interval: PositiveFloat = 30.0
    times: tuple[tuple[float, float], ...] | None = None
    steps: tuple[_Step, ...] = ()
    metrics: tuple[_Measured, ...]

    @property
    def length(self) -> int:
        return len(self.metrics[0].looks)

    def plan(self) -> Plan:
        metrics = tuple(measured.metric() for measured in self.metrics)
        return Plan(metrics, self.false_revert_risk, self.miss_risk, planned_looks=self.planned_looks)

    @model_validator(mode="after")
    def _fits_together(self) -> _File:
        self.plan()
        lengths = [len(metric.looks) for metric in self.metrics]
        if len(set(lengths)) > 1:
            listed = ", ".join(f"{metric.name} {len(metric.looks)}" for metric in self.metrics)
            raise ValueError(f"Every metric needs the same number of looks; there are: {listed}.")
        for step in self.steps:
            if not 1 <= step.look <= max(self.length, 1):
                raise ValueError(f"A step's look is {step.look}; looks are counted from 1 to {self.length}.")
        if self.times is not None:
            self._check_times(self.times)
        return self

    def _check_times(self, times: tuple[tuple[float, float], ...]) -> None:
        if len(times) != self.length:
            raise ValueError(f"There are {len(times)} times for {self.length} looks; every look needs one.")
        ends = (float("-inf"), *(end for _, end in times))
        for i, (start, end) in enumerate(times):
            if start >= end or start < ends[i]:
                raise ValueError(
                    f"The look times[{i}] is {start:g} to {end:g}; looks follow one another and end later."
                )


_FIELDS = {to_camel(each.name) for kind in (_Measured, _Look) for each in fields(kind)}
