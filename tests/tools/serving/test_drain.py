"""The preStop hook's source: in this process with short times, and once as the kubelet runs it."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from modelrollout.serving.deployment import DRAIN_SOURCE
from modelrollout.serving.scripts import drain
from tests.tools.serving.http_server import free_port, serving

GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting")


def metrics(*running_and_waiting: tuple[int, int]) -> tuple[int, str]:
    """vLLM's answer, with one pair per engine."""
    lines = ["# TYPE vllm:num_requests_running gauge"]
    for engine, (running, waiting) in enumerate(running_and_waiting):
        labels = f'{{engine="{engine}",model_name="chat"}}'
        lines.append(f"vllm:num_requests_running{labels} {running}.0")
        lines.append(f"vllm:num_requests_waiting{labels} {waiting}.0")
        lines.append(f'vllm:num_requests_waiting_by_reason{{engine="{engine}",reason="capacity"}} 7.0')
    return 200, "\n".join([*lines, ""])


@pytest.fixture
def took(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], float]:
    """Drain with all times a twentieth or less; gives the seconds it took."""
    monkeypatch.setattr(drain, "SETTLE", 0.15)
    monkeypatch.setattr(drain, "PERIOD", 0.02)
    monkeypatch.setattr(drain, "PATIENCE", 0.1)

    def run(port: int, timeout: float) -> float:
        start = time.monotonic()
        drain.main(port, timeout, GAUGES)
        return time.monotonic() - start

    return run


def test_an_idle_server_is_kept_until_the_proxies_know(took: Callable[[int, float], float]) -> None:
    with serving(metrics=[metrics((0, 0))]) as server:
        assert 0.15 <= took(server.port, 10) < 9


@pytest.mark.parametrize(
    "busy",
    [metrics((3, 0)), metrics((0, 2)), metrics((0, 0), (1, 0))],
    ids=["running", "waiting", "one engine"],
)
def test_a_busy_server_is_kept_until_its_streams_have_ended(
    took: Callable[[int, float], float], busy: tuple[int, str]
) -> None:
    with serving(metrics=[*[busy] * 12, metrics((0, 0), (0, 0))]) as server:
        assert 12 * 0.02 <= took(server.port, 10) < 9
        assert len(server.asked) == 13


def test_a_server_that_stays_busy_is_kept_until_the_time_is_up(took: Callable[[int, float], float]) -> None:
    with serving(metrics=[metrics((1, 0))]) as server:
        assert 0.3 <= took(server.port, 0.3) < 9


@pytest.mark.parametrize(
    "answer", [(200, "up 1\n"), (200, "vllm:num_requests_running{} many\n"), None, 0.25], ids=str
)
def test_a_server_that_does_not_say_how_busy_it_is_counts_as_busy(
    took: Callable[[int, float], float], answer: tuple[int, str] | float | None
) -> None:
    with serving(metrics=[answer]) as server:
        assert took(server.port, 0.3) >= 0.3


def test_a_server_that_is_gone_is_not_waited_for(took: Callable[[int, float], float]) -> None:
    assert took(free_port(), 10) < 5


def test_the_hook_succeeds_whatever_happens_so_that_the_kubelet_records_no_failure() -> None:
    with serving(metrics=[metrics((1, 0))]) as server:
        for port in (server.port, free_port()):
            command = [sys.executable, "-IS", "-c", DRAIN_SOURCE, str(port), "0.3", *GAUGES]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_server_of_which_nothing_is_known_is_given_the_whole_time() -> None:
    start = time.monotonic()
    with serving(metrics=[metrics((0, 0))]) as server:
        drain.main(server.port, 0.6, ())
    assert time.monotonic() - start >= 0.6
