"""What a Service selects: the patches that point it at the pods of one revision, and give it back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from modelrollout.api.names import REVISION_LABEL, ROLLOUT_LABEL
from modelrollout.api.objects import Object, Ref
from modelrollout.traffic import ownership
from modelrollout.traffic.router import Patch

Selector = Mapping[str, str]


def one(rollout: str, revision: str) -> dict[str, str]:
    """The pods of one revision."""
    return {ROLLOUT_LABEL: rollout, REVISION_LABEL: revision}


def both(rollout: str) -> dict[str, str]:
    """The pods of every revision."""
    return {ROLLOUT_LABEL: rollout}


def of(service: Object) -> Selector:
    return service.get("spec", {}).get("selector") or {}


def revision_selected(service: Object, rollout: str) -> str | None:
    """The one revision of the rollout that it selects; None: something else."""
    selector = of(service)
    revision = selector.get(REVISION_LABEL)
    return revision if revision and selector == one(rollout, revision) else None


def with_selector(service: Object, selector: Selector | None) -> dict[str, Any]:
    """A copy of the Service that selects this; None: it has no selector."""
    after = copy.deepcopy(dict(service))
    if selector is None:
        after["spec"].pop("selector", None)
    else:
        after["spec"]["selector"] = dict(selector)
    return after


def changed(ref: Ref, before: Object, after: Object) -> tuple[Patch, ...]:
    """The patch from one to the other; it fails once somebody else has changed what is selected."""
    guards = [("spec", "selector")] if "selector" in before["spec"] else []
    return ownership.changes(ref, before, after, guards)


def pointed(ref: Ref, service: Object, selector: Selector | None) -> tuple[Patch, ...]:
    return changed(ref, service, with_selector(service, selector))
