"""The plain Service as router: one selector says which revisions' pods answer.

To move all users, the selector names the one revision. For a split it names the rollout alone, and
kube-proxy spreads connections evenly over the ready pods of both revisions: the weight is made of pod
counts. No label of a pod is ever changed. The price is that the selector cannot keep a third revision
out, so a split is refused while pods of one are ready.

What was asked is kept in an annotation of the Service: pod counts can only come near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from modelrollout.api.names import ROLLOUT_LABEL, WEIGHT_ANNOTATION
from modelrollout.api.objects import SERVICE, Object, Objects, Ref, annotations_of, named
from modelrollout.api.problem import Problem
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic import ownership, ratio, selector
from modelrollout.traffic.router import Capabilities, Patch, Reading, Site, Split, Unroutable


def build(traffic: Traffic, strategy: Strategy) -> ServiceRouter:  # noqa: ARG001
    """The router of a rollout that names no route."""
    return ServiceRouter(traffic.service, traffic.tolerance)


class ServiceRouter:
    """Splits by what the user's own Service selects."""

    capabilities = Capabilities(splits_by_pods=True, counted_as="pods")
    kinds: ClassVar[tuple[Ref, ...]] = (SERVICE,)

    def __init__(self, service: str, tolerance: int = 5) -> None:
        """`tolerance`: points by which ready pods may miss the asked weight before it reads as another."""
        self._ref = named(SERVICE, service)
        self._tolerance = tolerance

    @property
    def title(self) -> str:
        return f"Service {self._ref.name}"

    def claims(self) -> frozenset[str]:
        return frozenset({f"services/{self._ref.name}"})

    def refs(self) -> tuple[Ref, ...]:
        return (self._ref,)

    def context(self, objects: Objects, site: Site) -> tuple[Ref, ...]:  # noqa: ARG002
        return ()

    def read(self, objects: Objects, site: Site) -> Reading:
        service = objects.get(self._ref)
        problem = self._problem(service)
        if service is None or problem:
            return Reading(None, problem=problem)
        return Reading(
            self._split(service, site),
            writer=ownership.writer(service, ("spec", "selector")),
            warnings=_warnings(service),
        )

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Patch, ...]:
        service = objects.get(self._ref)
        problem = self._problem(service) or _unsupported(split, site, self._ref.name)
        if service is None or problem:
            raise Unroutable(problem or self._missing())
        if self._split(service, site) == split:
            return ()
        between = 0 < split.canary < 100
        return self._patched(service, _wanted(split, site), str(split.canary) if between else None)

    def remember(self, objects: Objects, site: Site) -> Mapping[str, Any]:  # noqa: ARG002
        service = objects.get(self._ref)
        return {} if service is None else {"selector": service.get("spec", {}).get("selector")}

    def hand_back(self, objects: Objects, site: Site, original: Mapping[str, Any]) -> tuple[Patch, ...]:
        service = objects.get(self._ref)
        if service is None:
            return ()
        now = service.get("spec", {}).get("selector")
        if now is not None and now.get(ROLLOUT_LABEL) == site.rollout and "selector" in original:
            now = original["selector"]
        return self._patched(service, now, None)

    def keeps(self, original: Mapping[str, Any], site: Site) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def _split(self, service: Object, site: Site) -> Split | None:
        revision = selector.revision_selected(service, site.rollout)
        if revision is not None and revision == site.stable_revision:
            return Split()
        if revision is not None and revision == site.canary_revision:
            return Split(canary=100)
        mixed = selector.of(service) == selector.both(site.rollout)
        if not mixed or not (site.stable_revision and site.canary_revision):
            return None
        return Split(canary=self._percent(service, site))

    def _percent(self, service: Object, site: Site) -> int:
        """Never 0 or 100: with this selector the next pod of either revision gets users."""
        asked = annotations_of(service).get(WEIGHT_ANNOTATION, "")
        known = int(asked) if asked.isascii() and asked.isdigit() and 0 < int(asked) < 100 else None
        if site.stable_ready + site.canary_ready == 0:
            return known or 50
        actual = ratio.share(site.stable_ready, site.canary_ready)
        if known is not None and abs(actual - known) <= self._tolerance:
            return known
        return min(99, max(1, round(actual)))

    def _patched(
        self, service: Object, wanted: selector.Selector | None, weight: str | None
    ) -> tuple[Patch, ...]:
        after = selector.with_selector(service, wanted)
        annotations = after["metadata"].get("annotations") or {}
        if weight is not None:
            after["metadata"]["annotations"] = {**annotations, WEIGHT_ANNOTATION: weight}
        elif WEIGHT_ANNOTATION in annotations:
            del annotations[WEIGHT_ANNOTATION]
            if not annotations:
                del after["metadata"]["annotations"]
        return selector.changed(self._ref, service, after)

    def _missing(self) -> Problem:
        return Problem(
            "ServiceNotFound",
            f"There is no Service {self._ref.name} in this namespace, and clients are to call it: create it, "
            "with the ports that they use.",
        )

    def _problem(self, service: Object | None) -> Problem | None:
        if service is None:
            return self._missing()
        if service.get("spec", {}).get("type") == "ExternalName":
            return Problem(
                "ServiceSelectsNoPods",
                f"Service {self._ref.name} is of type ExternalName, a DNS alias that selects no pods: use "
                "one of type ClusterIP, NodePort or LoadBalancer.",
            )
        return None


def _wanted(split: Split, site: Site) -> selector.Selector:
    if 0 < split.canary < 100:
        return selector.both(site.rollout)
    revision = site.canary_revision if split.canary else site.stable_revision
    if revision is None:
        arm = "canary" if split.canary else "stable"
        raise Unroutable(
            Problem("NoRevision", f"There is no {arm} revision yet that users could be sent to.")
        )
    return selector.one(site.rollout, revision)


def _unsupported(split: Split, site: Site, service: str) -> Problem | None:
    if split.mirror or split.matches:
        return Problem(
            "RouterCannot",
            f"Service {service} splits connections by pod counts and can neither copy nor match requests: "
            "name traffic.gateway or traffic.istio for mirror and match steps.",
        )
    if 0 < split.canary < 100 and site.other_ready:
        return Problem(
            "OtherRevisionRunning",
            f"{site.other_ready} ready pods of an earlier revision of {site.rollout} would get users too, "
            f"for Service {service} can only tell one revision from all of them: they must be scaled down "
            "first.",
        )
    return None


def _warnings(service: Object) -> tuple[Problem, ...]:
    spec, name = service["spec"], service["metadata"]["name"]
    found = []
    if spec.get("sessionAffinity") == "ClientIP":
        found.append(
            Problem(
                "ClientsArePinned",
                f"Service {name} has sessionAffinity ClientIP: shares are shares of clients, not of "
                "requests, and clients that came before the canary stay where they are.",
            )
        )
    if spec.get("clusterIP") == "None":
        found.append(
            Problem(
                "HeadlessService",
                f"Service {name} is headless: clients choose among the addresses that DNS gave them, so a "
                "move takes as long as they keep these.",
            )
        )
    if spec.get("publishNotReadyAddresses"):
        found.append(
            Problem(
                "UnreadyPodsServe",
                f"Service {name} has publishNotReadyAddresses: pods get users before they can answer.",
            )
        )
    return tuple(found)
