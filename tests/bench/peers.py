"""How other tools decide, one model each, on the same counts. Shapes are (rollouts, looks).

Argo Rollouts: a measurement fails when its condition is false; the run fails when more than `failureLimit`
have. Flagger: a check fails when the value is outside its range; it rolls back at `threshold` failures,
which successes never reset. Kayenta (NetflixACAJudge): a Mann-Whitney test between the two series of
per-interval values, "High" when the confidence interval of the shift lies above a quarter of its estimate.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tests.bench.many import Array

Flags = npt.NDArray[np.bool_]


def argo(fails: Flags, failure_limit: int) -> Flags:
    """Look by look, whether the analysis run has failed."""
    return np.asarray(np.cumsum(fails, 1) > failure_limit)


def flagger(fails: Flags, threshold: int) -> Flags:
    return np.asarray(np.cumsum(fails, 1) >= threshold)


def kayenta(canary: Array, control: Array, looks: range) -> Flags:
    """Judged over all intervals so far, at each of `looks` (counted from 1)."""
    hit = np.zeros(canary.shape, bool)
    for r in range(len(canary)):
        for look in looks:
            if _high(canary[r, :look], control[r, :look]):
                hit[r, look - 1] = True
                break
    return hit


def _high(x: Array, y: Array, confidence: float = 0.98, tolerance: float = 0.25) -> bool:
    mean_x, mean_y = x.mean(), y.mean()
    if mean_x != 0 and mean_y != 0 and mean_x / mean_y < 1.0:
        return False
    critical = NormalDist().inv_cdf((1 + confidence) / 2)
    if _surplus(x, y) <= critical:  # the shift below only lowers it
        return False
    if np.array_equal(np.sort(x), np.sort(y)):
        return False
    estimate = abs(float(np.median(np.subtract.outer(x, y))))
    return bool(_surplus(x - tolerance * estimate, y) > critical)


def _surplus(x: Array, y: Array) -> float:
    """The Mann-Whitney statistic in standard deviations, corrected for ties and continuity."""
    from scipy import stats  # it takes a second to load, and few who import this file rank anything

    ranks = stats.rankdata(np.concatenate([x, y]))
    m, n = len(x), len(y)
    surplus = ranks[:m].sum() - m * (m + 1) / 2 - m * n / 2
    _, ties = np.unique(ranks, return_counts=True)
    correction = (ties**3 - ties).sum() / ((m + n) * (m + n - 1))
    sigma = math.sqrt(max(m * n / 12 * ((m + n + 1) - correction), 0.0))
    return float((surplus - np.sign(surplus) * 0.5) / sigma) if sigma > 0 else 0.0


def p95(above: Array, n: Array, edges: Array) -> Array:
    """`histogram_quantile(0.95, ...)` of (rollouts, looks, edges) counts beyond each edge."""
    below = n[..., None] - above
    target = 0.95 * n
    j = (below >= target[..., None]).argmax(-1)
    before = np.take_along_axis(below, np.maximum(j - 1, 0)[..., None], -1)[..., 0] * (j > 0)
    up_to = np.take_along_axis(below, j[..., None], -1)[..., 0]
    low = np.where(j > 0, edges[np.maximum(j - 1, 0)], 0.0)
    return np.asarray(low + (edges[j] - low) * (target - before) / np.maximum(up_to - before, 1))
