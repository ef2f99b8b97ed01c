"""What the API server cannot refuse, because it would take more than the resource itself to know."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from modelrollout.api.crd import GROUP
from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec


def problems(spec: Spec, known_metrics: Collection[str]) -> tuple[Problem, ...]:
    """Everything wrong with the spec at once, so that it is mended once; empty when it can be tried.

    `known_metrics` are the `pack/metric` names that this operator serves.
    """
    return (*_unknown_metrics(spec, known_metrics), *_overlay(spec.runtime.pod_template))


def _unknown_metrics(spec: Spec, known: Collection[str]) -> Iterator[Problem]:
    used = [metric.use for metric in (spec.analysis.metrics if spec.analysis else ()) if metric.use]
    for use in used:
        if use in known:
            continue
        near = difflib.get_close_matches(use, known, n=1)
        pack = use.partition("/")[0]
        same_pack = sorted(name for name in known if name.startswith(f"{pack}/"))
        if near:
            instead = f"did you mean {near[0]}?"
        elif same_pack:
            instead = f"{pack} has {', '.join(same_pack)}."
        else:
            instead = f"the packs are {', '.join(sorted({name.partition('/')[0] for name in known}))}."
        yield Problem("UnknownMetric", f"There is no metric {use}: {instead}")


def _overlay(template: Mapping[str, Any]) -> Iterator[Problem]:
    """The labels that tell revisions apart are the operator's own."""
    metadata = template.get("metadata") or {}
    ours = sorted(label for label in metadata.get("labels") or {} if label.startswith(f"{GROUP}/"))
    if ours:
        yield Problem(
            "ReservedLabel",
            f"runtime.podTemplate sets {', '.join(ours)}, and the operator tells revisions apart by these "
            "labels: leave them out.",
        )
