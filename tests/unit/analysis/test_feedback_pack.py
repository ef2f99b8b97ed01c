"""The pack `feedback`: opinions that an application counts, which are no arrivals and know no age of pods."""

from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.analysis.packs.pack import packs
from modelrollout.api import analysis as spec

THUMBS = spec.Metric.model_validate({"use": "feedback/thumbs-down"})
TTFT = spec.Metric.model_validate({"use": "vllm/time-to-first-token"})


def test_ratings_are_never_taken_for_the_requests_that_prove_the_split() -> None:
    assert arrivals([THUMBS, TTFT]) == arrivals([THUMBS]) == packs()["vllm"].arrivals


def test_the_applications_pods_have_no_warm_up_of_the_models() -> None:
    (thumbs, ttft) = resolve([THUMBS, TTFT])
    assert (thumbs.recipe.warm_up, ttft.recipe.warm_up) == (False, True)
    assert (thumbs.metric.own_noise, ttft.metric.own_noise) == (False, True)


def test_the_arms_are_told_apart_by_the_revision_that_the_application_writes() -> None:
    for entry in packs()["feedback"].entries.values():
        assert entry.recipe.by == packs()["vllm"].entries["success-rate"].recipe.by
