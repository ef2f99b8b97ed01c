"""The startup probe's source, run as the kubelet does, against servers that behave in all the ways seen."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelrollout.serving.deployment import PROBE_SOURCE
from tests.unit.serving.http_server import Answer, free_port, serving

COMPLETION = (200, '{"object":"text_completion","choices":[{"text":" world"}]}')
CHAT = (200, '{"object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}')


def probe(
    port: int, log: Path, patience: float = 5, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IS", "-c", PROBE_SOURCE, str(port), "chat", str(patience), str(log)]
    return subprocess.run(command, capture_output=True, text=True, env=env or {}, timeout=30, check=False)


def test_a_server_that_answers_a_completion_is_ready(tmp_path: Path) -> None:
    with serving(completions=[COMPLETION]) as server:
        done = probe(server.port, tmp_path / "log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text() == ""


def test_the_completion_names_the_model_that_clients_name_and_takes_a_decode_step(tmp_path: Path) -> None:
    with serving(completions=[COMPLETION]) as server:
        probe(server.port, tmp_path / "log")
    assert [(asked.path, asked.body["model"], asked.body["max_tokens"]) for asked in server.asked] == [
        ("/v1/completions", "chat", 2)
    ]


def test_a_server_with_chat_only_is_asked_by_chat(tmp_path: Path) -> None:
    with serving(chat=[CHAT]) as server:
        done = probe(server.port, tmp_path / "log")
    assert done.returncode == 0
    assert [asked.path for asked in server.asked] == ["/v1/completions", "/v1/chat/completions"]


def test_while_nothing_listens_the_last_words_of_the_run_before_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier reason")
    done = probe(free_port(), log)
    assert done.returncode == 1
    assert "not listening yet" in done.stderr
    assert log.read_text() == "an earlier reason"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, '{"error":{"message":"EngineCore encountered an issue"}}'), '500, {"error"'),
        ((503, "starting"), "/v1/completions: 503, starting."),
        ((200, "<html>a captive portal</html>"), "200, <html>"),
        ((401, '{"error":"Unauthorized"}'), "Set VLLM_API_KEY in env"),
        (None, "the connection broke"),
        (2.0, "nothing came within 0.3 s"),
    ],
    ids=["engine error", "unavailable", "no completion", "key wanted", "engine dies", "hangs"],
)
def test_a_server_that_listens_but_does_not_answer_is_not_ready_and_says_why(
    tmp_path: Path, answer: Answer, said: str
) -> None:
    log = tmp_path / "log"
    with serving(completions=[answer]) as server:
        done = probe(server.port, log, patience=0.3)
    assert done.returncode == 1
    assert said in log.read_text()
    assert log.read_text().strip() == done.stderr.strip()


def test_a_model_unknown_to_both_apis_is_told_with_both_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving() as server:
        assert probe(server.port, log).returncode == 1
    assert "/v1/completions: 404" in log.read_text()
    assert "/v1/chat/completions: 404" in log.read_text()


def test_the_key_of_the_server_is_shown(tmp_path: Path) -> None:
    with serving(completions=[COMPLETION]) as server:
        probe(server.port, tmp_path / "log", env={"VLLM_API_KEY": "s3cret"})
    assert server.asked[0].headers["Authorization"] == "Bearer s3cret"


def test_a_first_failure_is_forgotten_once_the_server_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(completions=[(503, "starting"), COMPLETION]) as server:
        assert [probe(server.port, log).returncode for _ in range(2)] == [1, 0]
    assert log.read_text() == ""


def test_a_log_that_cannot_be_written_does_not_make_a_server_unready(tmp_path: Path) -> None:
    with serving(completions=[COMPLETION]) as server:
        assert probe(server.port, tmp_path / "missing" / "log").returncode == 0
