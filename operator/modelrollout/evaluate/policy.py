"""The policy of an evaluation, `quality.yaml`: one file for CI, the cluster and every night."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from modelrollout.api.mistakes import Mistaken, meant, sentences
from modelrollout.evaluate.amounts import Limit, Seconds, Share
from modelrollout.evaluate.cases import Format
from modelrollout.evaluate.measures import MEASURES
from modelrollout.evaluate.redaction import Redaction
from modelrollout.evaluate.report_stores import STORES, AnyStore
from modelrollout.evaluate.scorer_specs import AnyScorer, ScorerSpec
from modelrollout.evaluate.wire import Written

_LONGEST = 1_000_000


class Dataset(Written):
    """Where the cases are: exactly one of `file`, `url`, `configMap` and `pvc`."""

    file: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    config_map: str | None = None
    key: str | None = None
    """In the ConfigMap; its only key where it is left out."""
    pvc: str | None = None
    path: str | None = None
    """On the PVC."""
    format: Format | None = None
    """Guessed from the name and the first line where it is left out; `requests` is never guessed."""
    redact: Redaction | None = None
    """What is taken out before anything is asked or stored. Captured requests are redacted in any case."""
    columns: dict[str, str] = Field(default_factory=dict)
    """CSV: from a case's field, such as expected, to the column's header."""

    @model_validator(mode="after")
    def _one_place(self) -> Dataset:
        given = [name for name in ("file", "url", "config_map", "pvc") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a dataset names exactly one place: a file, a url, a configMap or a pvc")
        if self.pvc is not None and self.path is None:
            raise ValueError("a dataset on a pvc needs the `path` of the file on it")
        return self

    @property
    def redaction(self) -> Redaction | None:
        """None: the cases are somebody's own, and are stored as they are."""
        return self.redact or (Redaction() if self.format == "requests" else None)


class Sampling(Written):
    """What every request carries; the same for all arms."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=512, ge=1, le=131_072, alias="max_tokens")
    top_p: float | None = Field(default=None, gt=0, le=1, alias="top_p")
    seed: int | None = 7
    stop: tuple[str, ...] = ()
    samples: int = Field(default=1, ge=1, le=100)
    """Answers asked for each case, by its arm; a score is their mean, and pass@k needs at least k."""
    logprobs: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, as the server names them."""


class Prices(Written):
    """What an answer costs: by tokens, by the seconds of an accelerator, or both."""

    prompt_per_1k: float = Field(default=0.0, ge=0, alias="promptPer1k")
    completion_per_1k: float = Field(default=0.0, ge=0, alias="completionPer1k")
    per_second: float = Field(default=0.0, ge=0)

    def of(self, prompt_tokens: float, completion_tokens: float, seconds: float) -> float:
        tokens = self.prompt_per_1k * prompt_tokens + self.completion_per_1k * completion_tokens
        return tokens / 1000 + self.per_second * seconds


class Gate(Written):
    """What a score must hold. Shares and judges' marks are compared in points, measures in percent."""

    score: str
    at_least: Limit | None = None
    at_most: Limit | None = None
    at_most_worse: Limit | None = None
    at_most_change: Limit | None = None
    must_prove: bool = True
    """False: the gate can fail the model, but a pass does not wait for its proof."""

    @model_validator(mode="after")
    def _limits_something(self) -> Gate:
        if not self.limits:
            raise ValueError(
                f'the gate on "{self.score}" limits nothing; write atLeast, atMost, '
                "atMostWorse or atMostChange"
            )
        return self

    @property
    def limits(self) -> dict[str, Any]:
        """The limits that are given, by the names that people write."""
        whole = {
            "atLeast": self.at_least,
            "atMost": self.at_most,
            "atMostWorse": self.at_most_worse,
            "atMostChange": self.at_most_change,
        }
        return {name: limit for name, limit in whole.items() if limit is not None}

    @property
    def compares(self) -> bool:
        return self.at_most_worse is not None or self.at_most_change is not None


class Risk(Written):
    """How often a verdict may be wrong, over all gates and looks of one evaluation together."""

    false_fail: Share = 0.01
    miss: Share = 0.05

    @model_validator(mode="after")
    def _in_between(self) -> Risk:
        for name, value in (("falseFail", self.false_fail), ("miss", self.miss)):
            if not 0 < value <= 0.5:
                raise ValueError(f"{name} is a risk above 0 and up to 50%; 1% to 5% is usual")
        return self


class Policy(Written):
    dataset: Dataset
    api: Literal["chat", "completions"] = "chat"
    model: str | None = None
    """The name in the requests; the first one that the server lists where it is left out."""
    system: str | None = None
    """A system prompt put before each case that brings none."""
    api_key_env: str | None = None
    sampling: Sampling = Field(default_factory=Sampling)
    concurrency: int = Field(default=8, ge=1, le=512)
    timeout: Seconds = 120.0
    retries: int = Field(default=3, ge=0, le=20)
    scorers: tuple[AnyScorer, ...] = Field(default=(), max_length=50)
    gates: tuple[Gate, ...] = Field(max_length=50)
    prices: Prices | None = None
    risk: Risk = Field(default_factory=Risk)
    max_unanswered: Share = 0.05
    max_unjudged: Share = 0.1
    stop_early: bool = True
    reports: tuple[AnyStore, ...] = Field(default=(), max_length=5)
    """Where the whole report and all answers are kept, beside the files that the command names."""
    tags: Literal["fail", "warn", "ignore"] = "fail"
    """What follows when one tag is proven to be worse by itself."""

    @field_validator("dataset", mode="before")
    @classmethod
    def _plain_file(cls, given: Any) -> Any:
        if isinstance(given, str):
            place = "url" if given.startswith(("http://", "https://")) else "file"
            return {place: given}
        return given

    @field_validator("reports", mode="before")
    @classmethod
    def _one_store(cls, given: Any) -> Any:
        return [given] if isinstance(given, str | dict) else given

    @field_validator("gates")
    @classmethod
    def _some_gates(cls, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
        if not gates:
            raise ValueError("a policy without gates can pass nothing; write at least one")
        return gates

    @model_validator(mode="after")
    def _fits_together(self) -> Policy:
        wrong = [*_names_wrong(self), *(text for gate in self.gates for text in _gate_wrong(self, gate))]
        for spec in self.scorers:
            if (k := getattr(spec, "k", 1)) > self.sampling.samples and spec.kind == "code":
                wrong.append(f'the scorer "{spec.name}" wants pass@{k}; write `sampling: {{samples: {k}}}`')
            if spec.kind == "perplexity" and not self.sampling.logprobs:
                wrong.append(f'the scorer "{spec.name}" needs `sampling: {{logprobs: true}}`')
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def scorer(self, name: str) -> ScorerSpec | None:
        """The scorer of this name; None for a built-in measure."""
        return next((spec for spec in self.scorers if spec.name == name), None)

    @property
    def digest(self) -> str:
        """What must stay the same while a run goes on and is taken up again."""
        decides = self.model_dump(mode="json", by_alias=True, exclude={"reports"})
        text = json.dumps(decides, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(text: str, name: str = "quality.yaml") -> Policy:
    """The policy in a YAML text. Raises Mistaken with one sentence per mistake, each with the file's name."""
    if len(text) > _LONGEST:
        raise Mistaken([f"{name}: The file has {len(text):,} characters; a policy has at most {_LONGEST:,}."])
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise Mistaken([f"{name}: It is no YAML: {' '.join(str(error).split())}."]) from error
    if not isinstance(given, dict):
        raise Mistaken([f"{name}: A policy is a mapping with `dataset` and `gates`."])
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        found = [line for text in sentences(error, _fields()) for line in _lines(text)]
        raise Mistaken([f"{name}: {line}" for line in found]) from error


def _lines(text: str) -> list[str]:
    """A mistake of the whole policy may hold several; each gets a sentence of its own."""
    place, _, rest = text.partition(": ")
    if place != "the file":
        return [text]
    parts = [part.strip().removesuffix(".") for part in rest.split("\n")]
    return [f"{part[0].upper()}{part[1:]}{'' if part.endswith('?') else '.'}" for part in parts]


def _fields() -> set[str]:
    models = (Policy, *STORES, Gate, Dataset, Redaction, Sampling, Prices, Risk, ScorerSpec)
    names = {field.alias or name for model in models for name, field in model.model_fields.items()}
    from modelrollout.evaluate.scorer_specs import _KINDS

    return names | {f.alias or n for kind in _KINDS.values() for n, f in kind.model_fields.items()}


def _names_wrong(policy: Policy) -> list[str]:
    wrong, seen = [], set[str]()
    for spec in policy.scorers:
        if spec.name in seen:
            wrong.append(f'two scorers are called "{spec.name}"; give each a name of its own')
        if spec.name in MEASURES:
            wrong.append(f'a scorer may not be called "{spec.name}": that is measured already')
        seen.add(spec.name)
    gated = [gate.score for gate in policy.gates]
    for name in sorted({name for name in gated if gated.count(name) > 1}):
        wrong.append(f'two gates are on "{name}"; write its limits into one')
    return wrong


def _gate_wrong(policy: Policy, gate: Gate) -> list[str]:
    spec, about = policy.scorer(gate.score), f'the gate on "{gate.score}"'
    if spec is None and gate.score not in MEASURES:
        known = [*(scorer.name for scorer in policy.scorers), *MEASURES]
        hint = meant(gate.score, known) or f"; there are {', '.join(known)}"
        return [f'no score is called "{gate.score}"{hint}']
    if gate.score == "cost" and policy.prices is None:
        return [f"{about} needs `prices`, such as {{completionPer1k: 0.002}}"]
    if gate.must_prove and (unprovable := _unprovable(gate, spec)):
        return [
            f"{about} has {unprovable}, which no number of cases can prove; leave some room, such as 1%, "
            "or write mustProve: false"
        ]
    if spec is None or spec.kind == "perplexity":
        return _measure_wrong(gate, about, share=gate.score == "truncated")
    wrong = []
    if spec.joint and not spec.paired and gate.compares:
        wrong.append(f"{about} compares the answers with the baseline's already; write atLeast, such as 80%")
    low, high = spec.bounds
    for name in ("atLeast", "atMost"):
        limit = gate.limits.get(name)
        if limit is not None and not (0 <= limit <= 1 if limit.percent else low <= limit <= high):
            wrong.append(f"{about} has {name}: {limit}, outside of the scale from {low:g} to {high:g}")
    for name in ("atMostWorse", "atMostChange"):
        limit = gate.limits.get(name)
        if limit is not None and not (limit < 1 if limit.percent else limit < high - low):
            wrong.append(
                f"{about} has {name}: {limit}, which is the whole scale; write a part of it, such as 5%"
            )
    return wrong


def _unprovable(gate: Gate, spec: ScorerSpec | None) -> str | None:
    """The limit that leaves no room: nothing worse at all, or the end of the scale."""
    low, high = spec.bounds if spec is not None else (0.0, math.inf)
    ends = {"atMostWorse": 0.0, "atMostChange": 0.0, "atMost": low, "atLeast": high}
    for name, limit in gate.limits.items():
        end = 1.0 if limit.percent and name == "atLeast" else 0.0 if limit.percent else ends[name]
        if float(limit) == end:
            return f"{name}: {limit}"
    return None


def _measure_wrong(gate: Gate, about: str, share: bool) -> list[str]:
    if share:
        return []
    wrong = []
    if gate.at_least is not None:
        wrong.append(f"{about} has atLeast, but less of it is better; write atMost")
    if gate.at_most is not None and (gate.at_most.percent or float(gate.at_most) == 0.0):
        wrong.append(f"{about} has atMost: {gate.at_most}; write a number above 0 in its own unit")
    for name in ("atMostWorse", "atMostChange"):
        limit = gate.limits.get(name)
        if limit is not None and not limit.percent:
            wrong.append(f'{about} is relative to the baseline; write a percentage, such as {name}: "10%"')
    return wrong
