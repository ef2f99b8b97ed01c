"""Samples as a metrics server would have them, without one."""

from collections.abc import Mapping, Sequence

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.observe import observe
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import PROCESS_START, UP, targets_of
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.packs import catalogue
from modelrollout.api import analysis as spec

ARMS = Arms("ml", "chat", "chat", stable="old", canary="new")
EVERY = 10.0
LOOK = Look(1000.0, 1060.0)
ATTEMPTS = tuple(905.0 + EVERY * i for i in range(17))
"""905 … 1065: ten before the look, six in it, one after it."""
OLD = -1e6
"""When a process began that has been there for ever."""


def labels(pod: str, revision: str, **more: str) -> dict[str, str]:
    known = {"namespace": "ml", "rollout": "chat", "revision": revision, "pod": pod}
    return {"job": "pods", "instance": f"{pod}:8000", **known, **more}


def counter(pod: str, revision: str, family: str, points: Mapping[float, float], **more: str) -> Series:
    return Series(labels(pod, revision, __name__=family, **more), tuple(points), tuple(points.values()))


def target(
    pod: str,
    revision: str,
    attempts: Sequence[float] = ATTEMPTS,
    down: Sequence[float] = (),
    began: Mapping[float, float] | float | None = OLD,
    **more: str,
) -> list[Series]:
    """`up` and, unless `began` is None, when the process began: always the same, or from each scrape on."""
    answers = [0.0 if t in down else 1.0 for t in attempts]
    found = [Series(labels(pod, revision, __name__=UP, **more), tuple(attempts), tuple(answers))]
    if began is not None:
        steps = began if isinstance(began, Mapping) else {attempts[0]: began}
        seen = tuple(t for t in attempts if t not in down)
        values = tuple(next(v for t, v in reversed(steps.items()) if t <= scraped) for scraped in seen)
        found.append(Series(labels(pod, revision, __name__=PROCESS_START, **more), seen, values))
    return found


def steady(per_scrape: float, first: float = 100.0, times: Sequence[float] = ATTEMPTS) -> dict[float, float]:
    """A counter that grows by the same between scrapes: 6 times in the look."""
    return {t: first + per_scrape * i for i, t in enumerate(times)}


def window(look: Look = LOOK, warm_up: float = 0.0, reach: float = 30.0) -> Window:
    return Window(look, look.start - reach, look.start - 600.0, warm_up)


def observed(metric, counters: Sequence[Series], scrapes: Sequence[Series], in_window: Window | None = None):
    """What a look saw of a metric (`pack/metric`, or a spec of one's own)."""
    [resolved] = catalogue.resolve([spec.Metric(use=metric) if isinstance(metric, str) else metric])
    facts = Facts.of(tuple(counters), targets_of(scrapes))
    return observe(resolved, ARMS, facts, in_window or window())
