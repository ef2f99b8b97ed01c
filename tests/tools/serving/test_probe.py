"""The startup probe's source, run as the kubelet does, against servers that behave in all the ways seen."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelrollout.serving.deployment import PROBE_SOURCE, asked
from modelrollout.serving.servers import server_named
from tests.tools.serving.http_server import Answer, free_port, serving
from tests.unit.serving.given import spec

COMPLETION = (200, '{"object":"text_completion","choices":[{"text":" world"}]}')
CHAT = (200, '{"object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}')
NO_TEMPLATE = (
    400,
    '{"error":{"message":"As of transformers v4.44, default chat template is no longer allowed, so you must '
    'provide a chat template if the tokenizer does not define one.","type":"BadRequestError","code":400}}',
)
BROKEN_TEMPLATE = (400, '{"error":{"message":"No filter named \'nosuchfilter\'.","type":"BadRequestError"}}')
OTHER_NAME = (404, '{"error":{"message":"The model `chat` does not exist.","type":"NotFoundError"}}')
NOT_FOR_THIS_MODEL = (400, '{"error":{"message":"The model does not support Embeddings API"}}')
VECTORS = (200, '{"object":"list","data":[{"object":"embedding","embedding":[0.1]}]}')
SCORES = (200, '{"object":"list","data":[{"score":0.5}]}')
QUESTIONS = asked("chat", spec(), server_named("vllm"))


def probe(
    port: int,
    log: Path,
    patience: float = 5,
    env: dict[str, str] | None = None,
    questions: list[dict[str, Any]] = QUESTIONS,
) -> subprocess.CompletedProcess[str]:
    arguments = [str(port), str(patience), str(log), "VLLM_API_KEY", json.dumps(questions)]
    command = [sys.executable, "-IS", "-c", PROBE_SOURCE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env or {}, timeout=30, check=False)


def test_a_server_that_answers_a_chat_is_ready(tmp_path: Path) -> None:
    with serving(chat=[CHAT], completions=[COMPLETION]) as server:
        done = probe(server.port, tmp_path / "log")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text() == ""
    assert [asked.path for asked in server.asked] == ["/v1/chat/completions"]


def test_the_request_names_the_model_that_clients_name_and_takes_a_decode_step(tmp_path: Path) -> None:
    with serving(chat=[CHAT]) as server:
        probe(server.port, tmp_path / "log")
    assert [(asked.body["model"], asked.body["max_tokens"]) for asked in server.asked] == [("chat", 2)]


@pytest.mark.parametrize(
    ("answers", "path"),
    [
        ({"completions": [COMPLETION]}, "/v1/completions"),
        ({"chat": [NO_TEMPLATE], "completions": [COMPLETION]}, "/v1/completions"),
        ({"embeddings": [VECTORS], "score": [SCORES]}, "/v1/embeddings"),
        ({"embeddings": [NOT_FOR_THIS_MODEL], "rerank": [(200, '{"results":[]}')]}, "/v1/rerank"),
        ({"score": [SCORES]}, "/v1/score"),
        ({"classify": [SCORES]}, "/classify"),
        ({"pooling": [SCORES]}, "/pooling"),
        ({"transcriptions": [(200, '{"text":""}')]}, "/v1/audio/transcriptions"),
    ],
    ids=[
        "completions only",
        "a model without a chat template",
        "embeddings",
        "a reranker",
        "scores",
        "a classifier",
        "vectors of tokens",
        "speech",
    ],
)
def test_a_server_is_asked_by_the_first_api_that_it_has(
    tmp_path: Path, answers: dict[str, list[Answer]], path: str
) -> None:
    with serving(**answers) as server:
        done = probe(server.port, tmp_path / "log")
    assert (done.returncode, done.stderr) == (0, "")
    assert server.asked[-1].path == path


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"chat": [BROKEN_TEMPLATE], "completions": [COMPLETION]}, "No filter named 'nosuchfilter'"),
        ({"chat": [OTHER_NAME], "completions": [OTHER_NAME]}, "The model `chat` does not exist"),
        ({"chat": [NO_TEMPLATE], "completions": [(500, "engine dead")]}, "/v1/completions: 500, engine dead"),
        ({"embeddings": [(400, '{"error":"maximum context length is 1"}')], "score": [SCORES]}, "context"),
    ],
    ids=["a broken chat template", "another name", "no template and no engine", "a refusing embedder"],
)
def test_another_api_that_answers_is_no_excuse_for_the_one_that_clients_use(
    tmp_path: Path, answers: dict[str, list[Answer]], said: str
) -> None:
    log = tmp_path / "log"
    with serving(**answers) as server:
        assert probe(server.port, log).returncode == 1
    assert said in log.read_text()


def test_speech_is_sent_as_a_form_with_a_sound(tmp_path: Path) -> None:
    with serving(transcriptions=[(200, '{"text":""}')]) as server:
        probe(server.port, tmp_path / "log")
    form = server.asked[-1].body["form"]
    assert b'name="model"\r\n\r\nchat\r\n' in form
    assert b"RIFF" in form
    assert server.asked[-1].headers["Content-Type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 0), (503, 1)])
def test_the_users_own_question_is_answered_by_a_status(tmp_path: Path, status: int, code: int) -> None:
    with serving(health=[(status, "")]) as server:
        own = [{"path": "/health", "body": None}]
        assert probe(server.port, tmp_path / "log", questions=own).returncode == code


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
        ((503, "starting"), "/v1/chat/completions: 503, starting."),
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
    with serving(chat=[answer]) as server:
        done = probe(server.port, log, patience=0.3)
    assert done.returncode == 1
    assert said in log.read_text()
    assert log.read_text().strip() == done.stderr.strip()


def test_a_server_without_any_known_api_is_reported_with_all_its_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving() as server:
        assert probe(server.port, log).returncode == 1
    assert "/v1/completions: 404" in log.read_text()
    assert "/v1/chat/completions: 404" in log.read_text()


def test_the_key_of_the_server_is_shown(tmp_path: Path) -> None:
    with serving(chat=[CHAT]) as server:
        probe(server.port, tmp_path / "log", env={"VLLM_API_KEY": "s3cret"})
    assert server.asked[0].headers["Authorization"] == "Bearer s3cret"


def test_a_first_failure_is_forgotten_once_the_server_answers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(chat=[(503, "starting"), CHAT]) as server:
        assert [probe(server.port, log).returncode for _ in range(2)] == [1, 0]
    assert log.read_text() == ""


def test_a_log_that_cannot_be_written_does_not_make_a_server_unready(tmp_path: Path) -> None:
    with serving(chat=[CHAT]) as server:
        assert probe(server.port, tmp_path / "missing" / "log").returncode == 0
