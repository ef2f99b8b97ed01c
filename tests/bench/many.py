"""The engine over many rollouts at once: the rules of `modelrollout.analysis` on numpy arrays.

Shapes are (rollouts, looks). tests/unit/analysis/test_many.py holds every function here equal to the engine
on random streams; simulations therefore speak for the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from modelrollout.analysis.betting.block import BETTER, LOG_STAKES_BETTER, LOG_STAKES_WORSE, WORSE, Margin
from modelrollout.analysis.betting.edges import RARE
from modelrollout.analysis.betting.mixture import Schedule
from modelrollout.analysis.betting.two_sided import FORGET
from modelrollout.analysis.noise import beside_breakdowns
from modelrollout.analysis.noise.design_effect import HISTORY_LAGS, SEEN_SLOW
from modelrollout.analysis.noise.dispersion import LAGS, LARGEST, PRIOR_LOOKS
from modelrollout.analysis.noise.noise import SLOW, UNKNOWN

Array = npt.NDArray[np.float64]
_EPS, _LEAST, _GREATEST = 1e-9, 1e-7, 0.999
_STEPS = 60
_TINY = 1e-300


@dataclass(frozen=True)
class Counts:
    """Units and bad units of both arms, and the sum of squared badness where units are not good or bad."""

    n1: Array
    x1: Array
    n0: Array
    x0: Array
    squares1: Array | None = None
    squares0: Array | None = None


@dataclass(frozen=True)
class Rules:
    margin: Margin
    prior: tuple[float | Array, float] = (0.01, 2.0)
    phi: float | Array | None = 1.0
    """Learned before the rollout: one for all or one per rollout; None: not learned."""
    short: float | Array | None = None
    watch: bool = True
    cap: float | None = None
    restart: bool = True
    planned: int | None = None


def project(p1: Array, p0: Array, n1: Array, n0: Array, margin: Margin) -> tuple[Array, Array]:
    """`block.project`: Newton steps on all at once, inside shrinking brackets."""
    rho, delta = margin
    if rho == 0:
        return np.full_like(p1, delta), p0
    a, b = (-delta / rho, 0.0) if delta < 0 else (0.0, delta)
    least, most = _EPS, min((1 - b) / rho, 1 - a) - _EPS
    n1_rho, begin, end = n1 * rho, p0 - a, (p1 - b) / rho
    p_0, p_1 = a * (1 - a), 1 - 2 * a
    q_0, q_1, q_2 = b * (1 - b), rho * (1 - 2 * b), -rho * rho
    gap = n1_rho * (b - p1)
    c0 = gap * p_0 - n0 * begin * q_0
    c1 = gap * p_1 + n1_rho * rho * p_0 + n0 * (q_0 - begin * q_1)
    c2, c3 = n0 * (q_1 - begin * q_2) + n1_rho * rho * p_1 - gap, n0 * q_2 - n1_rho * rho
    begin, end = np.clip(begin, least, most), np.clip(end, least, most)
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    t = (n1_rho * end + n0 * begin) / np.maximum(n1_rho + n0, _TINY)
    p, q = t + a, rho * t + b
    weight1, weight0 = n1_rho * rho * p * (1 - p), n0 * q * (1 - q)
    t = np.clip((weight1 * end + weight0 * begin) / np.maximum(weight1 + weight0, _TINY), low, high)
    for _ in range(_STEPS):
        value = ((c3 * t + c2) * t + c1) * t + c0
        high, low = np.where(value > 0, t, high), np.where(value > 0, low, t)
        slope = (3 * c3 * t + 2 * c2) * t + c1
        moved = t - value / np.where(slope > 0, slope, np.inf)
        moved = np.where((slope > 0) & (moved >= low) & (moved <= high), moved, 0.5 * (low + high))
        step, t = moved - t, moved
        p, q = t + a, rho * t + b
        if not (np.abs(step) > 1e-4 * np.minimum(p * (1 - p), q * (1 - q) / rho)).any():
            break
    return rho * t + b, t + a


def _factors(look: tuple[Array, ...], p0: Array, margin: Margin, worse: bool) -> Array:
    """Log factors (rollouts, alternatives) of one look."""
    edge = margin.ratio * p0 + margin.absolute
    q = np.clip(edge, _EPS, 1 - _EPS)[:, None]
    odds = q / (1 - q) * np.array(WORSE if worse else BETTER)
    alternatives = np.clip(odds / (1 + odds), _LEAST, _GREATEST)
    if not worse:
        equal = np.clip(np.minimum(p0, edge), _LEAST, _GREATEST)
        alternatives = np.concatenate([equal[:, None], alternatives], 1)
    p0s = np.broadcast_to(p0[:, None], alternatives.shape)
    n1, x1, n0, x0 = (v[:, None] for v in look)
    m1, m0 = project(alternatives, p0s, n1, n0, margin)
    log = x1 * np.log(alternatives / m1) + (n1 - x1) * np.log((1 - alternatives) / (1 - m1))
    log = log + x0 * np.log(p0s / m0) + (n0 - x0) * np.log((1 - p0s) / (1 - m0))
    outside = alternatives > edge[:, None] + _EPS if worse else alternatives < edge[:, None] - _EPS
    tells = (n1 > 0) & ((n0 > 0) | (margin.ratio == 0))
    return np.where(outside & tells, log, 0.0)


def running_phi(
    counts: Counts,
    alone: bool = False,
    learned: Array | float = 1.0,
    *,
    long_run: bool = False,
    shown: bool = False,
) -> Array:
    """`dispersion.Jumps` (or `dispersion.LongRun`): phi per look, from the looks before it. `learned` before
    the rollout, per rollout; `shown`: as far as the jumps show it."""
    n1, x1, n0, x0 = counts.n1, counts.x1, counts.n0, counts.x0
    q1 = x1 if counts.squares1 is None else counts.squares1
    q0 = x0 if counts.squares0 is None else counts.squares0
    h = np.where(n1 > 0, n1, 0.0) if alone else n1 * n0 / np.maximum(n1 + n0, _TINY)
    d = x1 / np.maximum(n1, _TINY) - (0.0 if alone else x0 / np.maximum(n0, _TINY))
    d = np.where(h > 0, d, 0.0)
    totals = [np.cumsum(v, 1) for v in (n1, x1, q1, n0, x0, q0)]
    variance1, variance0 = _variance(*totals[:3]), _variance(*totals[3:])
    usual = tuple(
        learned * np.concatenate([np.full((len(x1), 1), 0.25), v[:, :-1]], 1) for v in (variance1, variance0)
    )
    if long_run:
        seen, squares, spread1, spread0 = _long_run(n1, n0, h, d, alone)
    else:
        seen, squares, spread1, spread0 = _jumps((n1, n0), h, d, alone, (usual[0], usual[1]))
    independent = spread1 * variance1 + spread0 * variance0
    prior = PRIOR_LOOKS * independent / np.maximum(seen, 1)
    ratio = (squares + prior) / np.maximum(independent + prior, _TINY)
    if shown:
        ratio = ratio * (1 - np.sqrt(3 * seen) / (seen + PRIOR_LOOKS))
    after = np.where((seen >= (2 if long_run else 1)) & (independent > 0), np.maximum(ratio, 1.0), 1.0)
    return np.concatenate([np.ones((len(x1), 1)), after[:, :-1]], 1)


def _jumps(
    units: tuple[Array, Array], h: Array, d: Array, alone: bool, usual: tuple[Array, Array] | None = None
) -> tuple[Array, ...]:
    (n1, n0), (rollouts, looks) = units, h.shape
    out = np.zeros((4, rollouts, looks))
    count, squares, spread1, spread0 = (np.zeros(rollouts) for _ in range(4))
    last1, last0, last, before = (np.zeros(rollouts) for _ in range(4))
    for t in range(looks):
        some = h[:, t] > 0
        both = some & (before > 0)
        weight = np.where(both, h[:, t] * before / np.maximum(h[:, t] + before, _TINY), 0.0)
        count = count + both
        square = weight * (d[:, t] - last) ** 2
        here1 = weight * (1 / np.maximum(n1[:, t], _TINY) + 1 / np.maximum(last1, _TINY))
        here0 = weight * (1 / np.maximum(n0[:, t], _TINY) + 1 / np.maximum(last0, _TINY)) * (not alone)
        if usual is not None:
            square = np.minimum(square, LARGEST * (here1 * usual[0][:, t] + here0 * usual[1][:, t]))
        squares, spread1, spread0 = squares + square, spread1 + here1, spread0 + here0
        last1, last0 = np.where(some, n1[:, t], last1), np.where(some, n0[:, t], last0)
        last, before = np.where(some, d[:, t], last), np.where(some, h[:, t], before)
        out[:, :, t] = count, squares, spread1, spread0
    return tuple(out)


def _long_run(n1: Array, n0: Array, h: Array, d: Array, alone: bool) -> tuple[Array, ...]:
    rollouts, looks = h.shape
    out = np.zeros((4, rollouts, looks))
    seen, information, weighted, spread1, spread0 = (np.zeros(rollouts) for _ in range(5))
    lags, recent = np.zeros((rollouts, LAGS + 1)), np.zeros((rollouts, LAGS))
    bartlett = np.array([1.0, *(2 * (1 - k / (LAGS + 1)) for k in range(1, LAGS + 1))])
    for t in range(looks):
        ht, some = h[:, t], h[:, t] > 0
        scale = np.sqrt(information / np.maximum(information + ht, _TINY))
        residual = ht * (d[:, t] - weighted / np.maximum(information, _TINY)) * scale
        history = np.concatenate([residual[:, None], recent], 1)
        lags = np.where(some[:, None], lags + residual[:, None] * history, lags)
        recent = np.where(some[:, None], history[:, :-1], recent)
        information, weighted = information + ht, weighted + ht * d[:, t]
        spread1 = spread1 + ht * ht / np.maximum(n1[:, t], _TINY)
        spread0 = spread0 if alone else spread0 + ht * ht / np.maximum(n0[:, t], _TINY)
        seen = seen + some
        used = np.where(np.arange(LAGS + 1) <= seen[:, None] - 1, bartlett, 0.0)
        out[:, :, t] = seen, (lags * used).sum(1), spread1, spread0
    return tuple(out)


def history_phi(counts: Counts) -> tuple[Array, Array]:
    """`past.design_effect` and `past.jump_effect` of a history, one each per rollout."""
    n1, x1, n0, x0 = counts.n1, counts.x1, counts.n0, counts.x0
    h = n1 * n0 / np.maximum(n1 + n0, _TINY)
    d = x1 / np.maximum(n1, _TINY) - x0 / np.maximum(n0, _TINY)
    residual = h * (d - ((h * d).sum(1) / h.sum(1))[:, None])
    looks, parts = h.shape[1], np.arange(1, HISTORY_LAGS + 1) / (HISTORY_LAGS + 1)
    lagged = [(residual[:, k:] * residual[:, : looks - k]).sum(1) for k in range(HISTORY_LAGS + 1)]
    v1, v0 = (_variance(n.sum(1), x.sum(1), x.sum(1)) for n, x in ((n1, x1), (n0, x0)))
    independent = v1 * (h * h / np.maximum(n1, _TINY)).sum(1) + v0 * (h * h / np.maximum(n0, _TINY)).sum(1)
    prior = PRIOR_LOOKS * independent / looks
    at_once, steady, far = (
        np.maximum((lagged[0] + 2 * kernel @ np.array(lagged[1:]) + prior) / (independent + prior), 1.0)
        for kernel in (0 * parts, 1 - parts, np.minimum(1.0, 2 - 2 * parts))
    )
    phi = np.where(steady > SEEN_SLOW * at_once, np.maximum(steady, far), steady)
    count, squares, spread1, spread0 = (v[:, -1] for v in _jumps((n1, n0), h, d, alone=False))
    independent = spread1 * v1 + spread0 * v0
    prior = PRIOR_LOOKS * independent / np.maximum(count, 1)
    return phi, np.minimum(np.maximum((squares + prior) / (independent + prior), 1.0), phi)


def _variance(n: Array, total: Array, squares: Array) -> Array:
    mean = (total + 0.5) / (n + 1)
    return np.maximum((squares + 0.5) / (n + 1) - mean * mean, 1e-12)


def shares(
    counts: Counts, rules: Rules, phi: Array | None = None, proofs: bool = True
) -> tuple[Array, Array]:
    """Log e-values (against, for) per look of one bad share; `phi` overrides what the rules say. Without
    `proofs` the second is of no use."""
    rollouts, looks = counts.x1.shape
    phi = phi_of(counts, rules) if phi is None else phi
    mean, weight = rules.prior
    bad = np.broadcast_to(np.asarray(mean, float) * weight, (rollouts,)).copy()
    total = np.full(rollouts, float(weight))
    schedule = Schedule(rules.restart, rules.planned)
    against, proof = np.full((rollouts, len(WORSE)), -np.inf), np.zeros((rollouts, 1 + len(BETTER)))
    log_worse, log_better = np.empty((rollouts, looks)), np.empty((rollouts, looks))
    proof_phi = np.maximum(phi, UNKNOWN) if rules.phi is None and rules.watch else phi
    rest = 1.0
    for t in range(looks):
        n1, x1, n0, x0 = (np.asarray(v[:, t], float) for v in (counts.n1, counts.x1, counts.n0, counts.x0))
        p0 = np.clip(bad / total, 1e-6, 1 - 1e-6)
        look = (n1, x1, n0, x0)
        worse = _factors(look, p0, rules.margin, worse=True) / phi[:, t, None]
        if rules.cap is not None:
            worse = np.minimum(worse, rules.cap)
        start = min(schedule.start(t + 1), rest)
        rest = max(rest - start, 0.0)
        with np.errstate(divide="ignore"):
            against = worse + np.logaddexp(against, np.log(start))
            log_rest = np.log(rest) if rest > 0 else -np.inf
        if proofs:
            proof = proof + _factors(look, p0, rules.margin, worse=False) / proof_phi[:, t, None]
        log_worse[:, t] = np.logaddexp(_log_sum(against + np.array(LOG_STAKES_WORSE)), log_rest)
        log_better[:, t] = _log_sum(proof + np.array(LOG_STAKES_BETTER))
        moved = (n1 > 0) | (n0 > 0)
        bad, total = np.where(moved, FORGET * bad + x0, bad), np.where(moved, FORGET * total + n0, total)
    return log_worse, log_better


def phi_of(counts: Counts, rules: Rules) -> Array:
    """`dispersion.Noise.at` for every look."""
    alone = rules.margin.ratio == 0
    rollouts = len(counts.x1)
    learned = np.broadcast_to(np.asarray(1.0 if rules.phi is None else rules.phi, float), (rollouts,))[
        :, None
    ]
    if not rules.watch:
        return np.broadcast_to(learned, counts.x1.shape)
    short = learned if rules.short is None else np.asarray(rules.short, float).reshape(-1, 1)
    slow = np.maximum(learned / short, 1.0)
    follows = slow >= SLOW if rules.phi is not None else np.ones_like(learned, bool)
    phi = np.maximum(learned, running_phi(counts, alone, learned, shown=True) * slow)
    if not follows.any():
        return phi
    whole = np.maximum(running_phi(counts, alone, learned) * slow, running_phi(counts, alone, long_run=True))
    return np.where(follows, np.maximum(learned, whole), phi)


def breakdown(counts: Counts, rules: Rules, margin: Margin) -> Array:
    """`kinds.breakdown.Breakdown`: log e-values per look."""
    part1, part0 = (
        np.minimum(1.0, beside_breakdowns.MOST_UNITS / np.maximum(n, _TINY)) for n in (counts.n1, counts.n0)
    )
    thin = Counts(part1 * counts.n1, part1 * counts.x1, part0 * counts.n0, part0 * counts.x0)
    phi = _control_phi(thin, rules.phi, part1)
    return shares(thin, replace(rules, margin=margin, cap=None), phi, proofs=False)[0]


def _control_phi(thin: Counts, learned: float | Array | None, part1: Array) -> Array:
    """`beside_breakdowns.ControlNoise.phi`, from the looks before each."""
    looks, units, bad, squares = (
        np.concatenate([np.zeros((len(v), 1)), np.cumsum(v, 1)[:, :-1]], 1)
        for v in (thin.n0 > 0, thin.n0, thin.x0, thin.x0**2 / np.maximum(thin.n0, _TINY))
    )
    least, before = np.ones_like(part1), np.full_like(part1, beside_breakdowns.UNKNOWN)
    if learned is not None:
        past = 1 + (np.asarray(learned, float).reshape(-1, 1) - 1) * part1
        least = before = np.minimum(past, np.maximum(2.0, past / 2))
    freedom, share = np.maximum(looks - 1, 0), (bad + 0.5) / (units + 1)
    scattered = (squares - bad**2 / np.maximum(units, _TINY)) / np.maximum(share * (1 - share), 1e-6)
    seen = np.where(freedom > 0, scattered, 0.0)
    return np.maximum(least, (seen + PRIOR_LOOKS * before) / (freedom + PRIOR_LOOKS))


def latency(
    above: tuple[Array, Array], units: tuple[Array, Array], edges: list[Rules], proofs: bool = True
) -> tuple[Array, Array]:
    """Log e-values of a histogram: `above` are the arms' (rollouts, looks, decision edges) counts beyond
    each edge, `edges` the rules of each. phi comes from the rules of the first. Without `proofs` the second
    is of no use."""
    (above1, above0), (n1, n0), count = above, units, len(edges)
    order = 2 * np.arange(count) + 1
    whole = Counts(
        n1, above1.sum(-1) / count, n0, above0.sum(-1) / count,
        (above1 * order).sum(-1) / count**2, (above0 * order).sum(-1) / count**2,
    )  # fmt: skip
    phi = phi_of(whole, edges[0])
    against, proof = [], []
    for k, rules in enumerate(edges):
        worse, better = shares(Counts(n1, above1[..., k], n0, above0[..., k]), rules, phi, proofs)
        against.append(worse)
        proof.append(better)
    often = [k for k, rules in enumerate(edges) if np.max(rules.prior[0]) > RARE] or list(range(count))
    return _log_sum(np.stack(against, -1)) - math.log(count), np.min(np.stack(proof, -1)[..., often], -1)


def _log_sum(logs: Array) -> Array:
    top = logs.max(-1)
    return np.asarray(top + np.log(np.exp(logs - top[..., None]).sum(-1)))


def average(logs: list[Array]) -> Array:
    """The combined evidence of metrics with equal weights."""
    return _log_sum(np.stack(logs, -1)) - math.log(len(logs))


def first(hit: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The look (from 0) of each rollout's first hit; the number of looks where nothing hit."""
    return np.where(hit.any(1), hit.argmax(1), hit.shape[1])
