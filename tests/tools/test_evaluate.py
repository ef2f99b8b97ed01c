"""`modelrollout evaluate` against model servers on this machine: what passes, fails, holds, and goes on."""

import asyncio
import gzip
import itertools
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from modelrollout.cli import main
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.policy import Sampling, read
from modelrollout.evaluate.scorers import registry
from modelrollout.sources.quality import sandbox
from modelrollout.sources.quality.endpoint import Endpoint, Unavailable
from modelrollout.sources.quality.golden import Golden
from modelrollout.sources.quality.results import Results
from modelrollout.sources.quality.results import read as stored
from modelrollout.sources.quality.run import Live, Run
from modelrollout.sources.quality.scoring import Scoring
from tests.servers.local import fake_vllm

RIGHT = "Paris is its capital"


@pytest.fixture(scope="module")
def servers():
    """A candidate, a baseline and a judge."""
    with fake_vllm(name="new") as new, fake_vllm(name="old") as old, fake_vllm(name="judge") as judge:
        yield new, old, judge


@pytest.fixture
def world(servers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for server in servers:
        server.turn(ttft=0, tpot=0, jitter=0, answer=RIGHT, error_rate=0, crash_after=-1)
    servers[2].turn(answer='{"score": 4}')
    return World(*servers, tmp_path)


class World:
    def __init__(self, new, old, judge, folder):
        self.new, self.old, self.judge, self.folder = new, old, judge, folder
        self.golden(120)

    def golden(self, count, **fields):
        cases = ({"id": f"c{i}", "prompt": f"Case {i}?", "expected": RIGHT, **fields} for i in range(count))
        (self.folder / "golden.jsonl").write_text("".join(f"{json.dumps(case)}\n" for case in cases))

    def policy(self, scorers, gates, more=""):
        text = f"dataset: golden.jsonl\nretries: 0\nscorers: [{scorers}]\ngates: [{gates}]\n{more}"
        (self.folder / "quality.yaml").write_text(text.replace("JUDGE", f"{self.judge.url}/v1"))

    def replace(self, word, text):
        """In the policy."""
        file = self.folder / "quality.yaml"
        file.write_text(file.read_text().replace(word, text))

    def run(self, *options):
        """(exit code, the report as JSON)"""
        sides = ["--candidate", self.new.url]
        if "--against" not in options:
            sides += ["--baseline", f"{self.old.url}/v1"]
        code = main(["evaluate", "quality.yaml", *sides, "--quiet", "--json", "out.json", *options])
        file = self.folder / "out.json"
        return code, json.loads(file.read_text()) if file.exists() else {}


CORRECT = "{name: correct, kind: exact}", "{score: correct, atMostWorse: 5%}"
MARK = "{name: mark, kind: judge, endpoint: JUDGE, twice: 1}", "{score: mark, atMostWorse: 5%}"


def test_equal_versions_pass_and_every_file_is_written(world):
    world.policy(*CORRECT, "prices: {completionPer1k: 1}")
    files = ["--report", "out/report.md", "--junit", "out/junit.xml", "--summary-file", "summary.json"]
    code, report = world.run(*files)
    assert (code, report["verdict"], report["asked"]) == (0, "Pass", 76)
    assert (world.folder / "out/report.md").read_text().startswith("## ✅ Pass: quality")
    assert "<testsuite" in (world.folder / "out/junit.xml").read_text()
    assert json.loads((world.folder / "summary.json").read_text())["verdict"] == "Pass"
    assert report["arms"]["candidate"]["completionTokens"] >= 4 * 76


def test_a_worse_candidate_fails_after_few_cases(world):
    world.new.turn(answer="Rome is its capital")
    world.policy(*CORRECT)
    code, report = world.run()
    assert (code, report["reason"]) == (1, "CandidateWorse")
    assert report["asked"] < 40


async def test_a_slower_candidate_fails_by_its_time_to_the_first_token(world):
    """The clocks are the test's own, so that what else this machine does decides nothing."""
    policy = read("dataset: x\nconcurrency: 1\ngates: [{score: ttft, atMostWorse: 50%}]")
    golden = Golden(world.folder / "golden.jsonl")
    results = Results(world.folder / "r.jsonl", {}, len(golden))
    sides = {"candidate": (world.new, 0.03), "baseline": (world.old, 0.01)}
    endpoints = {
        side: Endpoint(server.url, model="chat", clock=itertools.count(0, tick).__next__)
        for side, (server, tick) in sides.items()
    }
    arms = {side: Live(endpoint, policy, None) for side, endpoint in endpoints.items()}
    verdict = await Run(policy, golden, arms, results, Scoring(policy, 0), seed=0).go()
    assert verdict.message.startswith("The candidate is worse on ttft")
    for closing in (*endpoints.values(), results, golden):
        if (done := closing.close()) is not None:
            await done


def test_answers_that_mean_something_else_than_the_old_ones_are_seen_without_expected_texts(world):
    world.policy("{name: alike, kind: similarity, to: baseline}", "{score: alike, atLeast: 80%}")
    code, report = world.run()
    assert (code, report["gates"][0]["candidate"]) == (0, 1.0)
    world.new.turn(answer="Ask somebody else, please")
    code, report = world.run()
    assert (code, report["reason"]) == (1, "CandidateWorse")
    assert report["gates"][0]["text"].startswith("alike: the two answers are alike by")


@pytest.mark.parametrize("trouble", ["dead", "errors"])
def test_a_candidate_that_cannot_be_asked_is_never_a_worse_one(world, trouble, capsys):
    world.policy(*CORRECT)
    if trouble == "errors":
        world.new.turn(error_rate=1)
        code, report = world.run("--summary-file", "summary.json")
        assert (report["verdict"], report["reason"], report["asked"]) == ("ProviderError", "Unanswered", 50)
        assert any("Internal server error" in problem for problem in report["arms"]["candidate"]["problems"])
    else:
        sides = ["--candidate", "http://127.0.0.1:9/v1", "--baseline", f"{world.old.url}/v1"]
        code = main(["evaluate", "quality.yaml", *sides, "--quiet", "--summary-file", "summary.json"])
        assert "Is the address right, with /v1 at its end?" in capsys.readouterr().err
    assert code == 3
    assert json.loads((world.folder / "summary.json").read_text())["verdict"] == "ProviderError"


def test_a_judge_marks_both_sides_and_its_own_noise_is_measured(world):
    world.policy(*MARK)
    code, report = world.run("--report", "report.md")
    assert (code, report["gates"][0]["candidate"]) == (0, 4.0)
    assert report["noise"]["mark"]["exact"] == 1.0
    assert "prompt pointwise-1, chat" in (world.folder / "report.md").read_text()


@pytest.mark.parametrize(("answer", "error_rate"), [("nonsense", 0), ('{"score": 9}', 0), (RIGHT, 1)])
def test_a_judge_that_answers_nonsense_or_500_holds(world, answer, error_rate):
    world.judge.turn(answer=answer, error_rate=error_rate)
    world.policy(*MARK)
    code, report = world.run()
    assert (code, report["verdict"], report["reason"]) == (3, "ProviderError", "Unjudged")
    assert report["remarks"]


def test_a_judge_that_asks_for_patience_holds(world):
    world.policy("{name: mark, kind: judge, endpoint: OTHER, model: m}", MARK[1])
    with scripted(LIMITED) as address:
        world.replace("OTHER", address)
        code, report = world.run()
    assert (code, report["reason"]) == (3, "Unjudged")
    assert any("answered 429: slow down" in remark for remark in report["remarks"])


def test_several_judges_are_averaged(world):
    world.policy(
        "{name: mark, kind: judge, judges: [{endpoint: JUDGE}, {endpoint: OTHER, model: m}]}", MARK[1]
    )
    two = json.dumps({"choices": [{"message": {"content": '{"score": 2}'}, "finish_reason": "stop"}]})
    with scripted((200, {}, two)) as address:
        world.replace("OTHER", address)
        code, report = world.run()
    assert (code, report["gates"][0]["candidate"]) == (0, 3.0)


def test_more_than_two_versions_are_rated_by_the_comparisons_of_several_runs(world):
    world.golden(20)
    world.policy("{name: better, kind: pairwise-judge, endpoint: JUDGE}", "{score: better, atMostWorse: 10%}")
    world.judge.turn(answer='{"winner": "tie"}')
    world.run("--results", "first.jsonl", "--candidate-name", "v2", "--baseline-name", "v1")
    names = ["--candidate-name", "v3", "--baseline-name", "v2"]
    report = world.run("--results", "second.jsonl", *names, "--elo", "first.jsonl")[1]
    assert set(report["elo"]) == {"v1", "v2", "v3"}
    assert {round(rating) for rating in report["elo"].values()} == {1000}  # all comparisons were ties


def test_a_judge_that_always_prefers_the_first_answer_prefers_nobody(world):
    world.new.turn(answer="Another right answer")
    world.judge.turn(answer='{"winner": "A"}')
    world.policy("{name: better, kind: pairwise-judge, endpoint: JUDGE}", "{score: better, atMostWorse: 10%}")
    code, report = world.run()
    assert (code, report["gates"][0]["candidate"]) == (0, 0.5)


def test_a_killed_run_goes_on_and_asks_nothing_twice(world):
    world.policy(*CORRECT, "stopEarly: false")
    assert world.run("--results", "r.jsonl")[0] == 0
    lines = (world.folder / "r.jsonl").read_text().splitlines()
    (world.folder / "r.jsonl").write_text("\n".join(lines[:61]) + '\n{"n": 99, "ca')  # killed in the middle
    before = world.new.metric("vllm:request_success_total")
    code, report = world.run("--results", "r.jsonl")
    assert (code, report["asked"]) == (0, 120)
    assert world.new.metric("vllm:request_success_total") - before == 60


def test_a_stored_run_stands_for_the_old_version(world):
    world.policy(*CORRECT)
    assert world.run()[0] == 0
    before = world.old.metric("vllm:request_success_total")
    world.new.turn(answer="Rome is its capital")
    code, report = world.run("--against", "last")
    assert (code, report["reason"]) == (1, "CandidateWorse")
    assert world.old.metric("vllm:request_success_total") == before


def test_a_judge_is_compared_with_people(world, capsys):
    world.golden(3, judged=[{"answer": "A", "score": 4}, {"answer": "B", "score": 5}])
    world.policy(*MARK)
    assert main(["judge-agreement", "quality.yaml"]) == 0
    assert "6 answers: same mark in 50 %" in capsys.readouterr().out


def test_every_mistake_of_policy_and_cases_is_said_and_exits_3(world, capsys):
    (world.folder / "quality.yaml").write_text("dataset: none.jsonl\ngates: [{score: ttft, atMost: 1}]")
    assert world.run()[0] == 3
    assert "none.jsonl: It cannot be read" in capsys.readouterr().err
    (world.folder / "golden.jsonl").write_text(
        '{"id": 1, "prompt": "a"}\n{"id": 1, "prompt": "b"}\n{"prompt": 1}\n'
    )
    world.policy(*CORRECT)
    assert world.run()[0] == 3
    said = capsys.readouterr().err
    assert 'golden.jsonl, line 2: The id "1" stands in line 1 already' in said
    assert "golden.jsonl, line 3: prompt" in said


def test_results_can_be_compared_and_exported(world, capsys):
    world.policy(*CORRECT, "stopEarly: false")
    world.run("--results", "a.jsonl")
    world.new.turn(answer="Rome is its capital and much more than that besides")
    world.run("--results", "b.jsonl")
    assert main(["drift", "a.jsonl", "b.jsonl", "--field", "candidate.text.length"]) == 1
    assert "candidate.text.length: drifted" in capsys.readouterr().out
    assert main(["feedback", "export", "b.jsonl", "--golden", "golden.jsonl"]) == 0
    assert "0 new cases" in capsys.readouterr().err  # they all are in the golden set
    assert main(["feedback", "export", "b.jsonl", "--out", "new.jsonl"]) == 0
    made = Golden(world.folder / "new.jsonl")
    assert (len(made), made.case(0).tags) == (len(list(stored(world.folder / "b.jsonl"))) - 2, ("feedback",))
    made.close()


@contextmanager
def scripted(*replies):
    """A server that gives these (status, headers, body) one after the other, the last one for ever."""
    turns = itertools.chain(replies, itertools.repeat(replies[-1]))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, body = next(turns)
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            return

    with serving(Handler) as address:
        yield f"{address}/v1"


@contextmanager
def serving(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_an_address_that_cannot_be_read_is_a_sentence():
    with pytest.raises(Unavailable, match=r"http://\[ is no address"):
        Endpoint("http://[")


WHOLE = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
LIMITED = 429, {"retry-after": "0"}, '{"error": {"message": "slow down"}}'
CUT = 200, {"content-type": "text/event-stream"}, 'data: {"choices": [{"delta": {"content": "H"}}]}\n\n'


@pytest.mark.parametrize(
    ("replies", "attempts", "says"),
    [
        ([LIMITED, LIMITED, (200, {}, WHOLE)], 3, None),
        ([LIMITED], 4, "answered 429: slow down"),
        ([(503, {"retry-after": "0"}, "busy"), (200, {}, WHOLE)], 2, None),
        ([(400, {}, '{"message": "too long"}')], 1, "answered 400: too long"),
        ([(404, {}, "{}")], 1, "answered 404"),
        ([(200, {}, "<html>")], 4, "something that is no completion"),
        ([(200, {}, "{}")], 4, "no `choices`"),
        ([CUT], 4, "broke off in the middle"),
    ],
)
async def test_passing_trouble_is_tried_again_and_the_rest_is_said(monkeypatch, replies, attempts, says):
    monkeypatch.setattr("modelrollout.sources.quality.endpoint._FIRST_WAIT", 0.0)
    with scripted(*replies) as address:
        endpoint = Endpoint(address, model="m")
        answer = await endpoint.ask(Case(id="a", prompt="Q"), Sampling())
        await endpoint.close()
    assert answer.attempts == attempts
    assert (answer.problem is None) if says is None else (says in answer.problem)


async def passes(program):
    return await sandbox.run(program, 2.0, 256)


async def test_code_is_run_with_limits():
    assert (await passes("assert 1 + 1 == 2")).passed
    wrong, loops, eats, environment = await asyncio.gather(
        passes("assert 1 + 1 == 3"),
        passes("while True: pass"),
        passes("x = 'x' * 10**9"),
        passes("import os; assert 'HOME' not in os.environ and not os.listdir()"),
    )
    assert wrong.problem == "AssertionError"
    assert "did not end within 2 s" in loops.problem
    assert eats.problem == "MemoryError"
    assert environment.passed


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace may need root")
async def test_code_has_no_network():
    with scripted((200, {}, "")) as address:
        port = urlsplit(address).port
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
        assert not (await passes(connect)).passed


def test_models_that_ship_inside_packages_score_without_a_download(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    policy = read(
        "dataset: x\nscorers: [{kind: toxicity}, {kind: similarity}]\ngates: [{score: ttft, atMost: 1}]"
    )
    toxicity, similarity = (registry.build(spec) for spec in policy.scorers)
    case = Case(id="a", prompt="Q", expected="Paris is the capital")
    assert toxicity(case, Answer(text="You are a stupid idiot, shut up.")) == 1
    assert toxicity(case, Answer(text="Have a nice day.")) == 0
    assert similarity(case, Answer(text="The capital is Paris")) > 0.9
    assert similarity(case, Answer(text="I like pizza")) < 0.4


def test_a_golden_set_is_read_case_by_case_in_any_order(tmp_path):
    file = tmp_path / "golden.csv"
    file.write_text('prompt,expected\n"two\nlines",a\nplain,b|c\n', encoding="utf-8-sig")
    golden = Golden(file)
    assert [golden.case(i).question for i in (1, 0)] == ["plain", "two\nlines"]
    assert golden.case(1).expected == ("b", "c")
    golden.close()


def test_a_results_file_of_another_policy_is_kept_beside(tmp_path):
    file = tmp_path / "r.jsonl"
    Results(file, {"policy": "a"}, 3).close()
    again = Results(file, {"policy": "b"}, 3)
    again.close()
    assert again.taken_up == 0
    assert json.loads((tmp_path / "r.previous.jsonl").read_text())["policy"] == "a"


def test_a_servers_own_scorer_is_asked_over_http(world):
    world.policy("{name: own, kind: http, url: URL}", "{score: own, atMostWorse: 5%}")
    with scripted((200, {}, '{"score": 1}')) as address:
        text = (world.folder / "quality.yaml").read_text()
        (world.folder / "quality.yaml").write_text(text.replace("URL", address))
        assert world.run()[0] == 0
    with scripted((200, {}, '{"score": 7}')) as address:
        (world.folder / "quality.yaml").write_text(text.replace("URL", address))
        code, report = world.run()
        assert (code, report["reason"]) == (3, "Unscored")


def test_reports_are_put_where_the_policy_says_and_a_store_that_is_away_changes_nothing(world, capsys):
    puts = []
    with receiving(puts) as address:
        stores = f"reports: [{{put: '{address}/quality'}}, {{put: 'http://127.0.0.1:9'}}]"
        world.policy(*CORRECT, stores)
        assert world.run("--results", "chat.results.jsonl")[0] == 0
    said = capsys.readouterr().err
    assert f"Stored in {address}/quality/chat-" in said
    assert "http://127.0.0.1:9" in said
    assert "The verdict stands without it" in said
    kept = {path.rpartition("/")[2]: body for path, body in puts}
    assert kept["report.md"].decode().startswith("## ✅ Pass: quality")
    assert json.loads(kept["report.json"])["verdict"] == "Pass"
    assert gzip.decompress(kept["results.jsonl.gz"]) == (world.folder / "chat.results.jsonl").read_bytes()


@contextmanager
def receiving(puts):
    """A store that keeps what is put into it as (path, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            puts.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(201)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            return

    with serving(Handler) as address:
        yield address


def test_captured_requests_are_asked_of_both_sides_and_nothing_of_a_user_is_stored(world):
    asked = [{"role": "user", "content": "Write to ada@lovelace.org."}]
    lines = (json.dumps({"request": {"messages": asked, "user": "ada"}}) for _ in range(80))
    (world.folder / "golden.jsonl").write_text("\n".join(lines))
    for server in (world.new, world.old):
        server.turn(answer="I wrote to grace@hopper.org")
    world.policy("", "{score: output-tokens, atMostWorse: 20%}")
    text = (world.folder / "quality.yaml").read_text()
    given = "dataset: {file: golden.jsonl, format: requests}"
    (world.folder / "quality.yaml").write_text(text.replace("dataset: golden.jsonl", given))
    code, report = world.run("--results", "kept.jsonl", "--report", "report.md")
    assert (code, report["verdict"]) == (0, "Pass")
    kept = (world.folder / "kept.jsonl").read_text()
    assert "[mail]" in kept
    for written in (kept, (world.folder / "report.md").read_text(), json.dumps(report)):
        assert "lovelace" not in written
        assert "hopper" not in written
