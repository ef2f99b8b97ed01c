"""The fake model server does what the real one was seen to do, and what one chooses."""

import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.servers.local import SOURCES, fake_vllm, until_listening


@pytest.fixture(scope="module")
def shared():
    with fake_vllm("--max-model-len=64", name="pod-a") as server:
        yield server


@pytest.fixture
def server(shared):
    shared.turn(ttft=0, tpot=0, jitter=0, tokens=16, answer="", error_rate=0, crash_after=-1)
    return shared


def events(response):
    return [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]


def in_thread(function):
    """Run it beside the test; `result()` of what this returns waits for it."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(function)
    finally:
        pool.shutdown(wait=False)


def until(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


class TestAnswers:
    def test_a_completion_ends_at_max_tokens(self, server):
        answer = server.complete(max_tokens=3).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 3

    def test_or_where_the_text_ends(self, server):
        server.turn(answer="Paris is its capital")
        choice = server.chat(max_tokens=20).json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Paris is its capital", "stop")

    def test_ignore_eos_fills_max_tokens(self, server):
        assert server.complete(max_tokens=40, ignore_eos=True).json()["usage"]["completion_tokens"] == 40

    def test_tokens_that_do_not_fit_behind_the_prompt_are_left_out(self, server):
        assert server.complete(max_tokens=64, ignore_eos=True).json()["usage"]["total_tokens"] == 64

    def test_a_stream_brings_a_token_an_event(self, server):
        *chunks, done = events(server.chat(stream=True, max_tokens=3))
        assert done == "[DONE]"
        chunks = [json.loads(chunk) for chunk in chunks]
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "length"]

    def test_a_stream_tells_its_usage_when_asked(self, server):
        *_, last, _ = events(server.complete(stream=True, stream_options={"include_usage": True}))
        assert json.loads(last)["usage"]["completion_tokens"] == 4

    def test_an_answer_tells_who_gave_it(self, server):
        response = server.complete()
        assert response.headers["x-served-by"] == "pod-a"
        assert response.json()["system_fingerprint"] == "vllm-0.32.0-pod-a"

    @pytest.mark.parametrize(
        ("fields", "status", "words"),
        [
            ({"model": "other"}, 404, "The model `other` does not exist. Valid aliases: chat."),
            ({"max_tokens": 65}, 400, "max_tokens=65 cannot be greater than max_model_len=64"),
            ({"prompt": "x" * 260}, 400, "The context length is only 64 tokens"),
            ({"prompt": ""}, 400, "Either prompt or prompt_embeds must be provided"),
        ],
    )
    def test_a_bad_request_is_refused_in_vllm_s_words(self, server, fields, status, words):
        response = server.complete(**fields)
        assert response.status_code == status
        assert words in response.json()["error"]["message"]

    def test_requests_that_come_together_on_a_connection_are_answered_in_turn(self, server):
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(b"GET /version HTTP/1.1\r\n\r\nGET /load HTTP/1.1\r\nconnection: close\r\n\r\n")
            received = b""
            while part := raw.recv(65536):
                received += part
        assert received.count(b"HTTP/1.1 200 OK") == 2
        assert received.endswith(b'{"server_load":0}')


class TestMetrics:
    def test_series_of_the_engine_stand_at_zero_from_the_start(self):
        with fake_vllm() as fresh:
            for reason in ("stop", "length", "abort", "error", "repetition"):
                assert fresh.metric("vllm:request_success_total", finished_reason=reason) == 0
            assert fresh.metric("vllm:time_to_first_token_seconds_count") == 0
            assert fresh.metric("http_requests_total") is None

    def test_series_of_http_come_with_their_first_request(self, server):
        assert server.metric("http_requests_total", status="5xx") is None
        server.turn(error_rate=1)
        server.complete()
        assert server.metric("http_requests_total", status="5xx", handler="/v1/completions") == 1

    def test_a_request_is_counted_everywhere_once(self, server):
        def counted():
            return (
                server.metric("vllm:request_success_total", finished_reason="length"),
                server.metric("vllm:e2e_request_latency_seconds_count"),
                server.metric("vllm:time_to_first_token_seconds_count"),
                server.metric("http_requests_total", handler="/v1/completions", status="2xx"),
            )

        before = counted()
        server.complete(max_tokens=5)
        assert [after - old for after, old in zip(counted(), before, strict=True)] == [1, 1, 1, 1]

    def test_tokens_are_counted_as_they_come(self, server):
        before = (
            server.metric("vllm:generation_tokens_total"),
            server.metric("vllm:inter_token_latency_seconds_count"),
        )
        server.complete(max_tokens=5)
        after = (
            server.metric("vllm:generation_tokens_total"),
            server.metric("vllm:inter_token_latency_seconds_count"),
        )
        assert (after[0] - before[0], after[1] - before[1]) == (5, 4)

    def test_probes_and_scrapes_are_not_counted(self, server):
        before = server.metric("http_requests_total")
        server.http.get("/health")
        assert server.metric("http_requests_total") == before

    def test_buckets_of_lengths_follow_the_model_s_length(self, server):
        assert server.metric("vllm:request_prompt_tokens_bucket", le="50.0") is not None
        assert server.metric("vllm:request_prompt_tokens_bucket", le="100.0") is None


class TestTime:
    def test_the_first_token_takes_its_time(self, server):
        server.turn(ttft=0.15)
        below = server.metric("vllm:time_to_first_token_seconds_bucket", le="0.1")
        above = server.metric("vllm:time_to_first_token_seconds_bucket", le="+Inf")
        started = time.monotonic()
        server.complete()
        assert time.monotonic() - started >= 0.15
        assert server.metric("vllm:time_to_first_token_seconds_bucket", le="0.1") == below
        assert server.metric("vllm:time_to_first_token_seconds_bucket", le="+Inf") == above + 1

    def test_tokens_keep_their_distance(self, server):
        server.turn(tpot=0.03)
        started = time.monotonic()
        server.complete(max_tokens=4)
        assert time.monotonic() - started >= 0.09

    def test_with_one_place_requests_wait_in_line(self):
        with fake_vllm("--max-num-seqs=1", ttft=0.1) as server, ThreadPoolExecutor(3) as pool:
            started = time.monotonic()
            answers = [pool.submit(server.complete) for _ in range(3)]
            until(lambda: server.metric("vllm:num_requests_waiting") == 2)
            assert server.metric("vllm:num_requests_running") == 1
            assert {answer.result().status_code for answer in answers} == {200}
            assert time.monotonic() - started >= 0.3
            assert server.metric("vllm:num_requests_waiting") == 0
            assert server.metric("vllm:request_queue_time_seconds_sum") >= 0.25

    def test_a_line_that_is_full_refuses(self):
        with fake_vllm("--max-num-seqs=1", "--max-num-queued-reqs=1", ttft=0.3) as server:
            with ThreadPoolExecutor(2) as pool:
                kept = [pool.submit(server.complete) for _ in range(2)]
                until(lambda: server.metric("vllm:num_requests_waiting") == 1)
                assert server.complete().status_code == 503
                assert {answer.result().status_code for answer in kept} == {200}
            assert server.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs") == 1


class TestFaults:
    def test_an_error_is_a_500(self, server):
        server.turn(error_rate=1)
        assert server.complete().status_code == 500

    def test_or_in_a_stream_an_error_under_200(self, server):
        server.turn(error_rate=1)
        before = server.metric("vllm:request_success_total", finished_reason="error")
        response = server.complete(stream=True)
        error, done = events(response)
        assert (response.status_code, json.loads(error)["error"]["code"], done) == (200, 500, "[DONE]")
        assert server.metric("vllm:request_success_total", finished_reason="error") == before + 1

    def test_a_client_that_goes_away_shows_only_between_two_counters(self, server):
        """No finished_reason, 2xx in HTTP: the real one has no other trace of it either."""
        server.turn(tpot=0.05)
        first = server.metric("vllm:time_to_first_token_seconds_count")
        whole = server.metric("vllm:e2e_request_latency_seconds_count")
        body = {"model": "chat", "prompt": "Hello", "max_tokens": 16, "stream": True}
        with server.http.stream("POST", "/v1/completions", json=body) as response:
            next(response.iter_raw())
        until(lambda: server.metric("vllm:num_requests_running") == 0)
        assert server.metric("vllm:time_to_first_token_seconds_count") == first + 1
        assert server.metric("vllm:e2e_request_latency_seconds_count") == whole
        assert server.metric("vllm:request_success_total", finished_reason="abort") == 0

    def test_a_server_can_be_healthy_until_its_first_request(self):
        with fake_vllm(crash_after=0) as server:
            assert server.listening()
            assert server.complete().status_code == 500
            assert server.process.wait(timeout=5) == 0  # the real one leaves with 0, too
            assert not server.listening()

    def test_a_crash_cuts_what_streams_with_an_error_under_200(self):
        with fake_vllm(tpot=0.05, crash_after=1) as server:
            cut = in_thread(lambda: server.complete(stream=True, max_tokens=16))
            until(lambda: server.metric("vllm:num_requests_running") == 1)
            assert server.complete().status_code == 500
            response = cut.result()
            *_, error, done = events(response)
            assert (response.status_code, done) == (200, "[DONE]")
            assert "EngineCore" in json.loads(error)["error"]["message"]
            assert server.process.wait(timeout=5) == 0

    def test_a_knob_that_does_not_exist_is_refused(self, server):
        response = server.http.post("/fake", json={"latency": 1})
        assert response.status_code == 400
        assert "there is no knob latency" in response.text


class TestLife:
    def test_connections_are_refused_until_it_is_ready(self):
        with fake_vllm(wait=False, startup_delay=0.5) as server:
            with pytest.raises(httpx.ConnectError):
                server.http.get("/health")
            until_listening(server)

    def test_it_can_fail_to_start(self):
        with fake_vllm(wait=False, startup_exit=1) as server:
            assert server.process.wait(timeout=5) == 1

    def test_an_unknown_flag_ends_it_with_2(self):
        done = subprocess.run(
            [sys.executable, str(Path(SOURCES[0]).with_name("fake_vllm.py")), "--swap-space=4"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "unrecognized arguments: --swap-space=4" in done.stderr

    def test_sigterm_cuts_what_runs_and_says_abort(self):
        with fake_vllm(tpot=0.05) as server:
            cut = in_thread(lambda: server.complete(stream=True, max_tokens=16))
            until(lambda: server.metric("vllm:num_requests_running") == 1)
            server.process.send_signal(signal.SIGTERM)
            *_, last, done = events(cut.result())
            assert json.loads(last)["choices"][0]["finish_reason"] == "abort"
            assert done == "[DONE]"
            assert server.process.wait(timeout=5) == 0

    def test_with_a_shutdown_timeout_it_finishes_and_refuses_what_is_new(self):
        with fake_vllm("--shutdown-timeout=10", tpot=0.05) as server:
            last = in_thread(lambda: server.complete(max_tokens=16))
            until(lambda: server.metric("vllm:num_requests_running") == 1)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: server.complete().status_code == 500)
            assert server.http.get("/health").status_code == 200  # so no readiness probe sees it
            assert last.result().json()["choices"][0]["finish_reason"] == "length"
            assert server.process.wait(timeout=5) == 0

    def test_with_a_key_only_the_api_is_guarded(self):
        with fake_vllm("--api-key=secret") as server:
            assert server.complete().status_code == 401
            assert server.http.get("/metrics").status_code == 200
            headers = {"authorization": "Bearer secret"}
            assert server.http.get("/v1/models", headers=headers).json()["data"][0]["id"] == "chat"

    def test_adapters_are_models_that_count_under_the_base_model(self):
        with fake_vllm("--enable-lora", "--lora-modules", "sql=/adapters/sql") as server:
            assert [model["id"] for model in server.http.get("/v1/models").json()["data"]] == ["chat", "sql"]
            assert server.complete(model="sql").json()["model"] == "sql"
            assert server.metric("vllm:request_success_total", model_name="chat") == 1
