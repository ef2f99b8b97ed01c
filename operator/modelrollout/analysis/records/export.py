"""Writing a rollout's evidence in the format of `record`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelrollout.analysis.inputs.metric import Consequence, Metric
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Histogram,
    Levels,
    Observation,
    Problem,
    Ratio,
    Scalar,
    Sum,
)
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.records.record import Record


def write(record: Record) -> dict[str, Any]:
    """The record as JSON-able data that `record.read` reads."""
    plan = record.plan
    top: dict[str, Any] = {"about": record.about} if record.about else {}
    top |= {"falseRevertRisk": plan.false_revert_risk, "missRisk": plan.miss_risk}
    if plan.planned_looks is not None:
        top["plannedLooks"] = plan.planned_looks
    top["times"] = [[look.start, look.end] for look in record.looks]
    if record.steps:
        top["steps"] = [{"look": step.look, **asdict(step.terms)} for step in record.steps]
    top["metrics"] = [
        _written(metric)
        | {"looks": [_written_look(metric, row.get(metric.name)) for row in record.observations]}
        for metric in plan.metrics
    ]
    return top


def _written(metric: Metric) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": metric.name,
        "kind": metric.kind.value,
        "tolerate": {"ratio": metric.tolerance.ratio, "absolute": metric.tolerance.absolute},
        "direction": metric.direction.value,
        "weight": metric.weight,
        "critical": metric.is_critical,
        "consequence": (Consequence.REVERT if metric.reverts else Consequence.HOLD).value,
        "cap": metric.cap,
        "restart": metric.restart,
        "feelsLoad": metric.feels_load,
        "settle": metric.settle,
        "bounds": list(metric.bounds),
        "unit": metric.unit,
    }
    phi = "phiHistory" if metric.watch_noise else "phi"
    optional = {
        phi: metric.phi,
        "phiShort": metric.phi_short,
        "phiExposure": metric.phi_exposure,
        "catastrophic": metric.catastrophic,
    }
    told |= {name: value for name, value in optional.items() if value is not None}
    if metric.prior is not None:
        told["prior"] = {"rate": metric.prior.rate, "weight": metric.prior.weight}
    if metric.baseline is not None:
        told["baseline"] = _written_arm(metric.baseline)
    if metric.edges:
        told["decidingEdges"] = list(metric.edges)
    if metric.edge_noise:
        told["edgeNoise"] = list(metric.edge_noise)
    if metric.margins:
        told["margins"] = [
            {"edge": m.edge, "ratio": m.ratio, "absolute": m.absolute, "exceedance": m.exceedance}
            for m in metric.margins
        ]
    return told


def _written_look(metric: Metric, observation: Observation | None) -> dict[str, Any]:
    checked = checks.check(metric, observation)
    if isinstance(checked, Problem):
        return {"problem": {"kind": checked.kind.value, "message": checked.message}}
    canary, control = checked
    look: dict[str, Any] = {"canary": _written_arm(canary)}
    if control is not None:
        look["control"] = _written_arm(control)
    if metric.feels_load and observation is not None and observation.load is not None:
        look["load"] = observation.load
    if metric.settle and metric.catastrophic and observation is not None and observation.begun is not None:
        look["begun"] = observation.begun
    return look


def _written_arm(arm: Arm) -> dict[str, Any]:
    match arm:
        case Ratio(bad, total):
            return {"bad": bad, "total": total}
        case Events(count, exposure):
            return {"count": count, "exposure": exposure}
        case Histogram(edges, counts, total):
            summed = {} if total is None else {"sum": total}
            return {"edges": list(edges), "counts": list(counts)} | summed
        case Levels(values, counts):
            return {"values": list(values), "counts": list(counts)}
        case Sum(total, n):
            return {"sum": total, "n": n}
        case Scalar(value):
            return {"value": value}
