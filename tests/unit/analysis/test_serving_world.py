"""The simulated fleet behaves as servers do, and its counters are read as Prometheus would read them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modelrollout.analysis.inputs.observation import Histogram, Look
from tests.bench import swift
from tests.bench.fleet import ENDS, FAMILIES, SUMS, TTFT, Fleet, Server, Users
from tests.bench.load_curve import Point, expected, fitted
from tests.bench.serving import LATENCY, analysis
from tests.bench.serving_world import Canary, Service, Worlds

LANES = np.zeros(2, dtype=np.int64)


def first_tokens(fleet: Fleet) -> tuple[np.ndarray, np.ndarray]:
    """Per lane: how many requests got a first token, and their mean time to it."""
    counts = fleet.counters[:, : len(TTFT) + 1].sum(1)
    return counts, fleet.counters[:, SUMS] / np.maximum(counts, 1)


def test_a_busier_pod_answers_later_and_counts_what_it_got() -> None:
    fleet = Fleet(np.random.default_rng(1), Server(), Users(), LANES)
    fleet.advance(60, np.array([2.0, 15.0]))
    counts, means = first_tokens(fleet)
    assert counts == pytest.approx([120, 900], rel=0.25)
    assert means[1] > 1.3 * means[0]


def test_a_slow_pod_is_slower_and_more_so_for_the_queue_before_it() -> None:
    fleet = Fleet(np.random.default_rng(2), Server(), Users(), LANES)
    fleet.slow[1] = fleet.slow_prefill[1] = 2.0
    fleet.advance(60, np.array([3.0, 3.0]))
    _, means = first_tokens(fleet)
    assert 1.6 < means[1] / means[0] < 4.0


def test_a_crashed_pod_begins_to_count_again_at_zero() -> None:
    fleet = Fleet(np.random.default_rng(3), Server(), Users(), LANES)
    fleet.advance(30, np.array([5.0, 5.0]))
    fleet.crash(np.array([0]), away=20.0)
    assert fleet.counters[0].sum() == 0 < fleet.counters[1].sum()
    fleet.advance(10, np.array([5.0, 5.0]))
    assert fleet.counters[0].sum() == 0


def test_a_request_in_error_ends_at_its_first_token() -> None:
    fleet = Fleet(np.random.default_rng(4), Server(), Users(aborts=0.0), LANES)
    fleet.bad[:] = 1.0
    fleet.advance(20, np.array([5.0, 5.0]))
    ends = fleet.counters[:, ENDS : ENDS + 2].sum(0)
    assert ends[0] == 0 < ends[1]
    tpot = len(TTFT) + 1, len(TTFT) + 2 + len(FAMILIES["vllm:request_time_per_output_token_seconds"])
    assert fleet.counters[:, slice(*tpot)].sum() == 0


def test_looks_count_through_the_operators_own_counting_what_the_pods_served() -> None:
    service = replace(Service(rate=8.0), replicas=2)
    worlds = Worlds(np.random.default_rng(5), service, 1, Canary())
    worlds.advance(60)
    worlds.weight[0] = 0.5
    worlds.advance(90)
    look = Look(worlds.fleet.now - 50, worlds.fleet.now - 20)
    seen = analysis().observe(worlds, 0, look)[LATENCY]
    assert isinstance(seen.canary, Histogram)
    assert isinstance(seen.control, Histogram)
    assert sum(seen.canary.counts) == pytest.approx(120, rel=0.35)
    assert sum(seen.control.counts) == pytest.approx(120, rel=0.35)
    middle = sum(n * edge for n, edge in zip(seen.control.counts, TTFT, strict=False))
    assert 0.3 * middle < (seen.control.sum or 0.0) < middle  # below the upper edges of their buckets


def test_what_is_subtracted_is_what_the_operators_own_counting_gives() -> None:
    worlds = Worlds(np.random.default_rng(6), replace(Service(rate=8.0), replicas=3), 1, Canary())
    judged = analysis()
    worlds.advance(150)
    for weight in (0.1, 0.5):
        worlds.weight[0] = weight
        worlds.advance(60)
        look = Look(worlds.fleet.now - 60, worlds.fleet.now - 30)
        assert swift.grown(worlds.fleet, worlds.stable[0], worlds.canaries(0), look) is not None
        subtracted, counted = judged.observe(worlds, 0, look), judged.count(worlds, 0, look)
        for name, seen in counted.items():
            assert (seen.problem, seen.begun) == (None, subtracted[name].begun)
            assert seen.load == pytest.approx(subtracted[name].load)
            for ours, theirs in (
                (subtracted[name].canary, seen.canary),
                (subtracted[name].control, seen.control),
            ):
                if isinstance(theirs, Histogram):
                    assert isinstance(ours, Histogram)
                    assert (ours.edges, ours.counts) == (theirs.edges, theirs.counts)
                    assert ours.sum == pytest.approx(theirs.sum)
                else:
                    assert ours == theirs


def test_a_look_in_which_a_process_began_again_is_left_to_the_operators_own_counting() -> None:
    worlds = Worlds(np.random.default_rng(7), Service(), 1, Canary())
    worlds.weight[0] = 0.5
    worlds.advance(180)
    look = Look(worlds.fleet.now - 60, worlds.fleet.now - 30)
    assert swift.grown(worlds.fleet, worlds.stable[0], worlds.canaries(0), look) is not None
    worlds.fleet.crash(worlds.stable[0, :1], away=20.0)
    assert swift.grown(worlds.fleet, worlds.stable[0], worlds.canaries(0), look) is None


def test_the_loads_that_a_server_was_measured_at_give_back_its_curve() -> None:
    server = Server(step=0.0075, per_running=1.3e-4, per_token=1.2e-4)
    loads = [(1, 20.0), (4, 20.0), (16, 20.0), (1, 420.0), (4, 420.0)]
    points = [Point(streams, prompt, *expected(server, streams, prompt)) for streams, prompt in loads]
    found = fitted(points)
    assert (found.step, found.per_running, found.per_token) == pytest.approx((0.0075, 1.3e-4, 1.2e-4))
