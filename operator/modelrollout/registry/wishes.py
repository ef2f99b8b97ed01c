"""What a registry should say of a rollout's revisions. It follows from status alone, also after a restart.

The registry follows the cluster: a name moves once status says that users have moved. How a trial ended is
written in tags of the version, and the last of them seals the others: while it is not there, all are written
again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelrollout.api.names import GROUP, RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.api.status import Outcome, Status
from modelrollout.registry.address import Version, version_of

LONGEST_TAG = 5000
"""Characters. Older servers take no more."""
NOT_KEPT = "not kept: the next rollout began before the registry could be told"


@dataclass(frozen=True)
class Name:
    """An alias that is to name a version."""

    alias: str
    version: Version


@dataclass(frozen=True)
class Account:
    """How the trial of a version ended."""

    version: Version
    seal: tuple[str, str]
    """The tag that is written last."""
    tags: Mapping[str, str]
    path: str
    """Where the record goes, below the files of the version's run."""
    record: str
    """JSON."""


@dataclass(frozen=True)
class Wishes:
    name: Name | None = None
    accounts: tuple[Account, ...] = ()


Reports = Callable[[Mapping[str, Any] | None], Sequence[Mapping[str, str]]]
"""The evidence in status -> what its experiments and bandits came to, for people."""


def wishes(key: RolloutKey, spec: Spec, status: Status, reports: Reports = lambda _: ()) -> Wishes:
    """What this rollout wishes of the registry that its spec names. Versions of another registry are left
    alone."""
    registry = spec.registry
    if registry is None or registry.address is None:
        return Wishes()
    address, newest = registry.address.rstrip("/"), dict[Version, Outcome]()
    for outcome in status.history:
        known = outcome.registered
        if known is not None and known.registry == address and (version := version_of(known.version)):
            newest[version] = outcome
    told = tuple(_account(key, version, outcome, status, reports) for version, outcome in newest.items())
    return Wishes(_name(registry.champion_alias, address, status), told)


def _name(alias: str, address: str, status: Status) -> Name | None:
    stable = status.stable.registered if status.stable is not None else None
    if not alias or stable is None or stable.registry != address or status.phase == "Installing":
        return None
    version = version_of(stable.version)
    return Name(alias, version) if version is not None else None


def _account(
    key: RolloutKey, version: Version, outcome: Outcome, status: Status, reports: Reports
) -> Account:
    prefix = f"{GROUP}/{key.namespace}/{key.name}"
    kept = outcome == status.history[-1] and status.canary is None
    evaluations = [each for each in status.evaluations if each.revision == outcome.revision]
    analysis = _wire(status.analysis) if kept and status.analysis is not None else None
    tags = {
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "why": outcome.message,
        "revision": outcome.revision,
        "evidence": _evidence(analysis) if kept else NOT_KEPT,
        **{f"evaluation.{each.name}": f"{each.verdict}: {each.message}" for each in evaluations},
    }
    record = {
        "rollout": str(key),
        "version": version.uri,
        **_wire(outcome),
        "analysis": analysis,
        "evaluations": [_wire(each) for each in evaluations],
        "reports": [dict(each) for each in reports(status.evidence)] if kept else [],
    }
    return Account(
        version=version,
        seal=(f"{prefix}/at", outcome.at),
        tags={f"{prefix}/{name}": value[:LONGEST_TAG] for name, value in tags.items()},
        path=f"modelrollout/{key.namespace}.{key.name}/{outcome.revision}-{outcome.at.replace(':', '')}.json",
        record=json.dumps(record, indent=2, ensure_ascii=False),
    )


def _evidence(analysis: Mapping[str, Any] | None) -> str:
    """The verdict and each metric, as JSON; without the sentences of the metrics where these are too long."""
    if analysis is None:
        return "no metric was judged"
    said = {name: analysis[name] for name in ("verdict", "reason", "message", "looks") if name in analysis}
    metrics = analysis.get("metrics", [])
    for fields in (("name", "verdict", "message", "canary", "control", "limit"), ("name", "verdict")):
        short = [{name: each[name] for name in fields if name in each} for each in metrics]
        text = json.dumps({**said, "metrics": short}, ensure_ascii=False, separators=(",", ":"))
        if len(text) <= LONGEST_TAG:
            return text
    return json.dumps(said, ensure_ascii=False)


def _wire(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found
