"""The packs, read from `*.yaml` in this folder: metrics by name, and what each is counted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml

from modelrollout.analysis.counters.expression import read
from modelrollout.analysis.counters.matchers import By
from modelrollout.analysis.counters.recipe import PARTS, PER, Known, Moment, Part, Recipe
from modelrollout.analysis.inputs.metric import Consequence, Direction, Kind, Metric
from modelrollout.analysis.packs.limits import tolerance_of

Vantage = Literal["proxy", "pod", "application"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric of a pack."""

    metric: Metric
    """With the pack's defaults; its name is `pack/metric`."""
    recipe: Recipe
    notes: str = ""
    also: tuple[str, ...] = ()
    """Names under which people look for it."""


@dataclass(frozen=True, slots=True)
class Pack:
    name: str
    about: str
    entries: Mapping[str, Entry]
    vantage: Vantage
    """Where it counts: a proxy sees requests that no pod answered, an application what users say of them."""
    arrivals: Recipe | None
    """Requests that began, to prove that traffic is split as the route says."""
    durations: Mapping[Moment, Recipe]
    """Histograms of the seconds from a request's arrival until these moments of it."""
    cannot: str = ""
    """Why nothing of it can be judged; empty where it can."""


@cache
def packs() -> Mapping[str, Pack]:
    """All packs by name, as they are shipped."""
    folder = resources.files("modelrollout.analysis.packs")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    named = {name.removesuffix(".yaml"): (folder / name).read_text("utf-8") for name in files}
    return {name: parse_pack(name, yaml.load(text, yaml.CSafeLoader)) for name, text in named.items()}


_METRIC_KEYS = {"kind", "unit", "direction", "tolerate", "sentence", "critical", "onFail", "load"}
_METRIC_KEYS |= {"notes", "also", "implies"}
_RECIPE_KEYS = {PER, "factor", "warmUp", "lazy", "whole", "countsAt", "running"}


def parse_pack(name: str, data: Mapping[str, Any]) -> Pack:
    """A pack from its YAML. ValueError where it is malformed: packs are shipped, and tests read them all."""
    vantage: Vantage = data["vantage"]
    if vantage not in get_args(Vantage):
        raise ValueError(f"{name}: the vantage {vantage} is unknown; write {' or '.join(get_args(Vantage))}.")
    if "cannot" in data:
        return Pack(name, data["about"], {}, vantage, None, {}, data["cannot"])
    by = By(data["arms"])
    own = vantage == "pod" and by is By.REVISION
    entries = {key: _entry(f"{name}/{key}", by, value, of_pods=own) for key, value in data["metrics"].items()}
    arrived = _arrivals(by, data) if "arrivals" in data else None
    lasting = {Moment(key): _duration(by, value) for key, value in data.get("durations", {}).items()}
    return Pack(name, data["about"], entries, vantage, arrived, lasting)


def _arrivals(by: By, data: Mapping[str, Any]) -> Recipe:
    total: Part = (read(data["arrivals"]),)
    moment = Moment(data.get("arrivalsCountAt", Moment.ARRIVAL))
    return Recipe(by, {"arrivals": total}, warm_up=False, counts_at=moment)


def _duration(by: By, data: Mapping[str, Any]) -> Recipe:
    parts = {"buckets": _part(data["buckets"])}
    return Recipe(by, parts, factor=float(data.get("factor", 1)), warm_up=False)


def _entry(name: str, by: By, data: Mapping[str, Any], *, of_pods: bool) -> Entry:
    kind = Kind(data["kind"])
    if unknown := set(data) - _METRIC_KEYS - _RECIPE_KEYS - set(PARTS[kind]):
        raise ValueError(f"{name}: {', '.join(sorted(unknown))} means nothing for the kind {kind}.")
    metric = Metric(
        name=name,
        kind=kind,
        tolerance=tolerance_of(data["tolerate"]),
        direction=Direction(data.get("direction", Direction.INCREASE_IS_BAD.value)),
        critical=data.get("critical"),
        consequence=Consequence(data["onFail"]) if "onFail" in data else None,
        load=data.get("load"),
        own_noise=of_pods,
        unit=data["unit"],
        sentence=data["sentence"],
        implies=data.get("implies", ""),
    )
    parts = {part: _part(data[part]) for part in (*PARTS[kind], PER) if part in data}
    if missing := set(PARTS[kind]) - parts.keys():
        raise ValueError(f"{name}: {', '.join(sorted(missing))} is missing.")
    recipe = Recipe(
        by=by,
        parts=parts,
        factor=float(data.get("factor", 1)),
        # the age of a proxy or an application says nothing about the age of the pods behind it
        warm_up=bool(data.get("warmUp", of_pods)),
        lazy=bool(data.get("lazy", True)),
        whole=bool(data.get("whole", False)),
        running=tuple(read(text) for text in data.get("running", ())),
        counts_at=Moment(data["countsAt"]),
    )
    return Entry(metric, recipe, data.get("notes", ""), tuple(data.get("also", ())))


def _part(given: str | Sequence[str]) -> Part:
    return Known(given) if isinstance(given, str) else tuple(read(text) for text in given)
