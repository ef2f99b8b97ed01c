"""The fake model server is held against real vLLM: what one shows on the wire, the other shows too.

Both run as processes of this machine and get the same requests; only the real one needs vLLM's environment.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bed import vllm
from tests.bed.failure import BedError
from tests.bed.plugin import refuse
from tests.bed.ports import free_port
from tests.servers.local import Server, fake_vllm, until_listening

COMPARED = re.compile(r"vllm:|http_|process_start_time_seconds")
INFO = "vllm:cache_config_info"
"""Labels hold the whole cache configuration of the real one; the fake carries only some."""
LENGTH = "--max-model-len=1024"

SHORT = {"model": "chat", "max_tokens": 3, "temperature": 0}
CHAT = {**SHORT, "messages": [{"role": "user", "content": "Hello"}]}
TEXT = {**SHORT, "prompt": "Hello there"}
REQUESTS = {
    "a completion": ("POST", "/v1/completions", TEXT),
    "a chat completion": ("POST", "/v1/chat/completions", CHAT),
    "a streamed completion": ("POST", "/v1/completions", {**TEXT, "stream": True}),
    "a streamed chat completion": ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    "a stream with usage": (
        "POST",
        "/v1/completions",
        {**TEXT, "stream": True, "stream_options": {"include_usage": True}},
    ),
    "an unknown model": ("POST", "/v1/completions", {**TEXT, "model": "other"}),
    "too many tokens": ("POST", "/v1/completions", {**TEXT, "max_tokens": 5000}),
    "a prompt that is too long": ("POST", "/v1/completions", {**TEXT, "prompt": "Hello there " * 2000}),
    "no prompt": ("POST", "/v1/completions", {"model": "chat"}),
    "no messages": ("POST", "/v1/chat/completions", {"model": "chat"}),
    "the wrong method": ("GET", "/v1/completions", None),
    "an unknown path": ("GET", "/nothing", None),
    "the models": ("GET", "/v1/models", None),
    "the version": ("GET", "/version", None),
    "the load": ("GET", "/load", None),
    "the health": ("GET", "/health", None),
    "the ping": ("GET", "/ping", None),
}
ADDED = {
    *("service_tier", "kv_transfer_params", "ec_transfer_params", "metrics", "prompt_logprobs"),
    *("prompt_token_ids", "prompt_text", "routed_experts", "prompt_tokens_details"),
    *("completion_tokens_details", "token_ids", "stop_reason", "refusal", "annotations", "audio"),
    *("function_call", "reasoning"),
}
"""Keys of the real one that were null in every answer seen; the fake may leave them out."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(real, fake), both fresh."""
    with real_vllm(tmp_path_factory.mktemp("vllm") / "log") as real, fake_vllm(LENGTH) as fake:
        yield real, fake


class real_vllm:  # noqa: N801 (a context manager, named like fake_vllm)
    """Real vLLM with a tiny model, on this machine's CPU."""

    def __init__(self, log: Path, *flags: str) -> None:
        try:
            installed = vllm.vllm()
        except BedError as error:
            refuse(str(error))
        self.port = free_port()
        self.log = log
        self.environment = installed.environment
        self.argv = [
            *(str(installed.python), *vllm.SERVER, f"--model={installed.model('tiny')}"),
            *("--served-model-name=chat", "--host=127.0.0.1", f"--port={self.port}", *flags),
        ]

    def __enter__(self) -> Server:
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                self.argv,
                # as users run it: the engine in a process of its own, which decides what SIGTERM does
                env={**os.environ, **self.environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self.server = Server(
            self.process, self.port, httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        )
        try:
            until_listening(self.server, seconds=240)
        except RuntimeError as error:
            self.__exit__()
            raise AssertionError(f"{error}:\n{self.log.read_text()[-3000:]}") from error
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.http.close()
        with contextlib.suppress(ProcessLookupError):  # the whole group may be gone already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def families(server):
    """Name and type of each family -> the label sets of its samples, bucket edges among them."""
    found = {}
    for family in text_string_to_metric_families(server.http.get("/metrics").text):
        if not COMPARED.match(family.name):
            continue
        found[family.name, family.type] = {
            (sample.name, *sorted(() if family.name == INFO else sample.labels.items()))
            for sample in family.samples
        }
    return found


def keys(value):
    """The shape of a JSON value: every path to a leaf, but those of keys that are null in vLLM."""
    if isinstance(value, dict):
        return {
            f".{key}{path}" for key, inner in value.items() if key not in ADDED for path in keys(inner)
        } or {""}
    if isinstance(value, list) and value:
        return {f"[]{path}" for path in set().union(*map(keys, value))}
    return {""}


def shape(response):
    """Status, kind and shape of an answer; of a stream that of its events, like ones in a row once."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        return response.status_code, kind, sorted(keys(response.json())) if response.content else []
    events = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    shapes = [event if event == "[DONE]" else sorted(keys(json.loads(event))) for event in events]
    changes = [one for before, one in zip([None, *shapes], shapes, strict=False) if one != before]
    return response.status_code, kind, changes


def refusal(response):
    """What a refusal says, without its prose."""
    error = response.json().get("error")
    return (error["type"], error["param"], error["code"]) if isinstance(error, dict) else response.json()


def test_before_any_request_both_show_the_same_series(pair):
    real, fake = map(families, pair)
    assert fake.keys() == real.keys()
    assert {name: fake[name] ^ real[name] for name in real if fake[name] != real[name]} == {}


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS.values(), ids=REQUESTS.keys())
def test_both_answer_in_the_same_form(pair, method, path, body):
    real, fake = (server.http.request(method, path, json=body) for server in pair)
    if path == "/v1/models":  # permissions of a model have a shape of their own, which nobody reads
        real, fake = (sorted(r.json()["data"][0].keys()) for r in (real, fake))
        assert fake == real
        return
    assert shape(fake) == shape(real)
    if real.status_code >= 400:
        assert refusal(fake) == refusal(real)


def test_after_the_same_requests_both_show_the_same_series(pair):
    """Among them the http series, which come with the first request of their kind."""
    real, fake = map(families, pair)
    assert {name: fake[name] ^ real[name] for name in real if fake[name] != real[name]} == {}


@pytest.mark.parametrize(
    "name",
    [
        "vllm:request_success_total",
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_count",
        "vllm:e2e_request_latency_seconds_count",
        "vllm:request_generation_tokens_sum",
        "vllm:inter_token_latency_seconds_count",
        "vllm:request_time_per_output_token_seconds_count",
        "vllm:request_queue_time_seconds_count",
        "http_requests_total",
    ],
)
def test_both_have_counted_the_same(pair, name):
    real, fake = (server.metric(name) for server in pair)
    assert fake == real


def test_both_have_counted_the_same_refusals(pair):
    real, fake = (server.metric("http_requests_total", status="4xx") for server in pair)
    assert fake == real


def test_tokens_that_do_not_fit_behind_the_prompt_are_left_out(pair):
    for server in pair:
        answer = server.complete(max_tokens=1024, ignore_eos=True).json()
        assert answer["usage"]["total_tokens"] == 1024
        assert answer["choices"][0]["finish_reason"] == "length"


def at_rest(server, name):
    """A counter that has not moved for a second: real vLLM counts a request a moment after its answer."""
    value, since = server.metric(name), time.monotonic()
    while time.monotonic() < since + 1:
        time.sleep(0.1)
        if (now := server.metric(name)) != value:
            value, since = now, time.monotonic()
    return value


def test_neither_counts_a_client_that_goes_away(pair):
    for server in pair:
        body = {**TEXT, "max_tokens": 900, "ignore_eos": True, "stream": True}
        if server is pair[1]:
            server.turn(tpot=0.01)
        whole = at_rest(server, "vllm:e2e_request_latency_seconds_count")
        first = server.metric("vllm:time_to_first_token_seconds_count")
        with server.http.stream("POST", "/v1/completions", json=body) as response:
            next(response.iter_raw())
        deadline = time.monotonic() + 20
        while server.metric("vllm:num_requests_running") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert server.metric("vllm:time_to_first_token_seconds_count") == first + 1
        assert server.metric("vllm:e2e_request_latency_seconds_count") == whole
        assert server.metric("vllm:request_success_total", finished_reason="abort") == 0


def last_event(server):
    """What a stream that SIGTERM meets says last; None when it breaks off, or when nothing comes any more."""
    body = {**TEXT, "max_tokens": 900, "ignore_eos": True, "stream": True}
    try:
        with server.http.stream("POST", "/v1/completions", json=body, timeout=10) as response:
            chunks = response.iter_text()
            text = next(chunks)
            server.process.send_signal(signal.SIGTERM)
            text += "".join(chunks)
    except (httpx.ReadTimeout, httpx.RemoteProtocolError):
        return None
    *_, last, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert (response.status_code, done) == (200, "[DONE]")
    return json.loads(last)


def test_last_of_all_sigterm_cuts_a_stream_so_that_it_cannot_pass_for_whole(pair):
    """Which end it takes with real vLLM is a race of its own: by default (`--shutdown-timeout=0`) the front
    end sends its engine SIGTERM and right after it SIGKILL. An engine that was quicker has sent `abort`; one
    that was killed has sent nothing, and the stream ends by an error, breaks off, or stays silent while the
    front end waits for the client to go. How the process of such a one ends is not asked."""
    real, fake = pair
    last = last_event(real)
    if last is not None:
        assert "error" in last or last["choices"][0]["finish_reason"] == "abort", last
        assert real.process.wait(timeout=30) == 0
    fake.turn(tpot=0.01)
    last = last_event(fake)
    assert last is not None
    assert last["choices"][0]["finish_reason"] == "abort"
    assert fake.process.wait(timeout=30) == 0


def test_a_flag_that_does_not_exist_ends_both_with_2(tmp_path):
    with fake_vllm("--swap-space=4", wait=False) as fake:
        assert fake.process.wait(timeout=10) == 2
    real = real_vllm(tmp_path / "log", "--swap-space=4")
    with pytest.raises(AssertionError, match=r"(?s)exit code 2.*unrecognized arguments: --swap-space"):
        real.__enter__()
