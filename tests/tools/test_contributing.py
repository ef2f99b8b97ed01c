"""CONTRIBUTING's table "To add …, write …" is true: a copy of the package gets one of each, and each works.

The copy is checked by mypy as the original is, and asked in a process of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.bed.folders import REPOSITORY

TABLE = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8").partition("| To add |")[2]
PACKAGE = "operator/modelrollout"

ROUTER = '''"""Moves users by a second Ingress that takes the canary's share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from modelrollout.api.objects import Objects, Ref
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.router import Capabilities, Create, Delete, Reading, Router, Site, Split, Write


def build(traffic: Traffic, _strategy: Strategy) -> Router | None:
    return TinyRouter(traffic.service) if traffic.service == "tiny" else None


class TinyRouter:
    kinds: ClassVar[tuple[Ref, ...]] = (Ref("networking.k8s.io/v1", "ingresses", ""),)

    def __init__(self, name: str) -> None:
        self.title = f"Ingress {name}"
        self.capabilities = Capabilities(mirror=False)
        self.ref = Ref("networking.k8s.io/v1", "ingresses", f"{name}-canary")

    def claims(self) -> frozenset[str]:
        return frozenset({f"ingresses/{self.ref.name}"})

    def refs(self) -> tuple[Ref, ...]:
        return (self.ref,)

    def context(self, _objects: Objects, _site: Site) -> tuple[Ref, ...]:
        return ()

    def read(self, objects: Objects, _site: Site) -> Reading:
        return Reading(Split(25) if objects.get(self.ref) else Split())

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Write, ...]:
        there = objects.get(self.ref) is not None
        if not split.canary:
            return (Delete(self.ref),) if there else ()
        body = {"kind": "Ingress", "metadata": {"name": self.ref.name, "namespace": site.namespace}}
        return () if there else (Create(self.ref, body),)

    def remember(self, _objects: Objects, _site: Site) -> Mapping[str, Any]:
        return {}

    def hand_back(self, objects: Objects, site: Site, _original: Mapping[str, Any]) -> tuple[Write, ...]:
        return self.render(objects, site, Split())

    def keeps(self, _original: Mapping[str, Any], _site: Site) -> frozenset[str]:
        return frozenset()
'''
SERVER = '''"""Triton with its OpenAI front end."""

from modelrollout.serving.servers.openai import QUESTIONS
from modelrollout.serving.servers.server import ModelServer, no_flags

TRITON = ModelServer(name="triton", flags=no_flags, questions=QUESTIONS, health="/v2/health/ready")
'''
SINK = '''"""Writes one line to a chat."""

from modelrollout.engine.sinks.sink import Announcement, Sink


class Chat(Sink):
    name = "chat"

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def post(self, news: Announcement) -> None:
        facts = news.note.facts
        undo = news.command(facts.go_back)
        self.lines.append(f"{news.key}: {news.note.message}, {facts.affected} % affected. Undo: {undo}")
'''
SOURCE = '''"""Samples that were kept in a list."""

from __future__ import annotations

from array import array

from modelrollout.analysis.counters.series import Series


class Canned:
    """Two pods, one request a second each, scraped every second."""

    async def samples(self, selector: str, at: float, window: float) -> tuple[Series, ...]:
        times = array("d", (float(n) for n in range(int(at - window) + 1, int(at) + 1)))
        family = next((each for each in ("|up", "http_requests_total") if each in selector), "").strip("|")
        if not family:
            return ()
        values = array("d", (1.0 if family == "up" else n for n in times))
        more = {} if family == "up" else {"status": "2xx", "handler": "/v1/chat"}
        return tuple(
            Series(
                {"namespace": "ml", "rollout": "chat", "revision": name, "pod": name, "instance": name}
                | more
                | {"__name__": family},
                times,
                values,
            )
            for name in ("new", "old")
        )

    async def numbers(self, _expression: str, _at: float) -> tuple[float, ...]:
        return ()

    async def numbers_by(self, _label: str, _expression: str, _at: float) -> dict[str, float]:
        return {}

    async def close(self) -> None: ...
'''
METRIC = """
  teapot-rate:
    kind: ratio
    unit: share of requests
    countsAt: end
    tolerate: {absolute: "0.01"}
    sentence: requests answered by a teapot
    bad: ['http_requests_total{status="418"}']
    total: [http_requests_total]
"""
STAGE = '''@dataclass(frozen=True)
class Rest(_Kind):
    """Changes no traffic and lasts `stay` seconds."""

    stay: int
    title = "rest"


Stage = Shift | Wait | Evaluate | Experiment | Bandit | Rest
'''

SHELF = '''"""A registry that says where a tag of a model lies."""

from __future__ import annotations

from modelrollout.registry.address import Shelved
from modelrollout.sources.registry.api import Api


async def source(api: Api, shelved: Shelved) -> str:
    found = await api.ask("GET", f"/{shelved.name}/{shelved.tag}")
    return str(found["at"])
'''
SHELVED = '''@dataclass(frozen=True)
class Shelved:
    """A tag of a model on the shelf."""

    name: str
    tag: str


Asked = Version | Alias | Branch | Shelved
'''

NEW = "\0"
"""In place of the text to replace: the file is new."""
ROWS = {
    "a router": [
        ("traffic/tiny.py", NEW, ROUTER),
        ("traffic/registry.py", "import gateway, istio_subsets,", "import gateway, tiny, istio_subsets,"),
        (
            "traffic/registry.py",
            "ROUTERS: list[Entry] = [\n",
            "ROUTERS: list[Entry] = [\n    Entry(tiny.build, tiny.TinyRouter.kinds),\n",
        ),
    ],
    "a model server": [
        ("serving/servers/triton.py", NEW, SERVER),
        ("serving/servers/__init__.py", "import openai, sglang,", "import openai, triton, sglang,"),
        ("serving/servers/__init__.py", "openai.OPENAI)", "openai.OPENAI, triton.TRITON)"),
    ],
    "a sink": [
        ("engine/sinks/chat.py", NEW, SINK),
        (
            "engine/sinks/registry.py",
            "from modelrollout.engine.sinks.kubernetes_events",
            "from modelrollout.engine.sinks.chat import Chat\n"
            "from modelrollout.engine.sinks.kubernetes_events",
        ),
        ("engine/sinks/registry.py", "return (events, people)", "return (events, people, Chat())"),
    ],
    "a source of samples": [("sources/canned.py", NEW, SOURCE)],
    "a registry": [
        ("sources/registry/shelf.py", NEW, SHELF),
        ("api/model.py", "|{_STORES}|{_REGISTERED})$", "|{_STORES}|{_REGISTERED}|shelf://[a-z]+@[a-z]+)$"),
        ("registry/address.py", "Asked = Version | Alias | Branch\n", SHELVED),
        (
            "registry/address.py",
            '    if uri.startswith(HUB) and "@" in uri:\n',
            '    if uri.startswith("shelf://"):\n'
            '        return Shelved(*uri.removeprefix("shelf://").split("@"))\n'
            '    if uri.startswith(HUB) and "@" in uri:\n',
        ),
        (
            "sources/registry/lookup.py",
            "Branch, Question, weights_at",
            "Branch, Question, Shelved, weights_at",
        ),
        (
            "sources/registry/lookup.py",
            "import Entry, Mlflow\n",
            "import Entry, Mlflow\nfrom modelrollout.sources.registry import shelf\n",
        ),
        (
            "sources/registry/lookup.py",
            "    mlflow = Mlflow(api)\n",
            "    if isinstance(asked, Shelved):\n"
            "        return Found(question.uri, await shelf.source(api, asked), None)\n"
            "    mlflow = Mlflow(api)\n",
        ),
    ],
    "a metric": [("analysis/packs/http.yaml", "\nmetrics:\n", "\nmetrics:" + METRIC)],
    "a step": [
        (
            "api/strategy.py",
            "    pause: Pause | None = None\n",
            '    rest: Duration | None = None\n    """Rests."""\n    pause: Pause | None = None\n',
        ),
        ("api/stages.py", "Stage = Shift | Wait | Evaluate | Experiment | Bandit\n", STAGE),
        (
            "api/stages.py",
            "    if step.pause is not None:\n",
            "    if step.rest is not None:\n        return Rest(seconds(step.rest))\n"
            "    if step.pause is not None:\n",
        ),
        (
            "rollout/judge.py",
            "        case Wait():\n",
            "        case Rest():\n            return True\n        case Wait():\n",
        ),
        (
            "rollout/judge.py",
            "import Bandit, Evaluate, Experiment, Shift, Wait",
            "import Bandit, Evaluate, Experiment, Rest, Shift, Wait",
        ),
        (
            "rollout/phase.py",
            "        case Wait():\n",
            "        case Rest():\n"
            '            return _do("Progressing", TIMED_PAUSE, step=view.progress, until=until)\n'
            "        case Wait():\n",
        ),
        (
            "rollout/phase.py",
            "import Bandit, Evaluate, Experiment, Shift, Wait",
            "import Bandit, Evaluate, Experiment, Rest, Shift, Wait",
        ),
    ],
}
"""Row of the table -> what is written: file, what is replaced, by what."""
MOST = {"a router": 2, "a model server": 2, "a sink": 2, "a source of samples": 1, "a registry": 4}
MOST |= {"a metric": 1, "a step": 4}
"""Files that a row may touch, with the one it is registered in."""

ASKED = """
import asyncio, datetime, json
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.packs.catalogue import arrivals, known_metrics, resolve
from modelrollout.api import crd, analysis, model, strategy, traffic
from modelrollout.api.names import RolloutKey
from modelrollout.api.stages import stage_of
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.cluster.kinds import children
from modelrollout.engine.sinks.people import Policy
from modelrollout.engine.sinks.registry import sinks
from modelrollout.rollout.notes import Facts, Note
from modelrollout.registry.address import Question as Address, asked_by
from modelrollout.serving.servers import server_named
from modelrollout.sources.canned import Canned
from modelrollout.sources.looks import LookSource
from modelrollout.sources.question import Question
from modelrollout.sources.registry.lookup import look_up
from modelrollout.telemetry import Telemetry
from modelrollout.traffic.registry import router_for

async def announced():
    chat = sinks(None, Policy(), Telemetry())[-1]
    announcer = Announcer([chat], Telemetry())
    facts = Facts("entered", affected=5, go_back="modelrollout.io/abort=x")
    announcer.announce(RolloutKey("ml", "chat"), {}, [Note("StepEntered", "Step 1/2", facts=facts)])
    posting = asyncio.create_task(announcer.post())
    await announcer.drain(10)
    posting.cancel()
    return chat.lines

async def counted():
    asked = (analysis.Metric(use="http/success-rate"),)
    arms = Arms("ml", "chat", "chat", stable="old", canary="new")
    source = LookSource(clock=lambda: 9_060.0, connect=lambda *_: Canned())
    question = Question("http://kept", 1.0, resolve(asked), arms, 0.0, arrivals(asked))
    found = await source.count(question, Look(9_000.0, 9_030.0))
    await source.close()
    return found.observations["http/success-rate"].canary.total

class Shelf:
    async def ask(self, method, path):
        return {"at": "s3://models" + path}

async def shelved():
    uri = model.Model.model_validate({"uri": "shelf://chat@best"}).uri
    question = Address(uri, asked_by(uri), "http://shelf", None, True, 60.0)
    return (await look_up(Shelf(), question)).source

step = strategy.Step.model_validate({"rest": "5m"})
tiny = traffic.Traffic(service="tiny")
print(json.dumps({
    "a router": [
        router_for(tiny, strategy.Strategy()).title, "ingresses" in [k.resource for k in children()]
    ],
    "a model server": server_named("triton").health,
    "a sink": asyncio.run(announced()),
    "a source of samples": asyncio.run(counted()),
    "a registry": asyncio.run(shelved()),
    "a metric": "http/teapot-rate" in known_metrics(),
    "a step": [stage_of(step).title, stage_of(step).stay, '"rest"' in json.dumps(crd.crd())],
}))
"""


def touched():
    """The files of each row, as a table."""
    rows = {row: dict.fromkeys(path for path, _, _ in edits) for row, edits in ROWS.items()}
    lines = [
        f"| {row} | {len(files)} | {', '.join(f'`{file}`' for file in files)} |"
        for row, files in rows.items()
    ]
    return "\n".join(["| To add | files | which |", "|---|---|---|", *lines])


def write(root, edits):
    for path, old, new in edits:
        file = root / PACKAGE / path
        if old is NEW:
            assert not file.exists()
            file.write_text(new)
            continue
        text = file.read_text("utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))


def mypy(root):
    """Lines of errors, by file."""
    command = [sys.executable, "-m", "mypy"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = re.findall(rf"^{PACKAGE}/(\S+?):\d+: error: (.*)$", run.stdout, re.MULTILINE)
    assert found or run.returncode == 0, run.stdout + run.stderr
    return dict(found)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A copy of the package with all rows in it, and what mypy says before the last step is taken."""
    root = tmp_path_factory.mktemp("grown")
    shutil.copytree(REPOSITORY / PACKAGE, root / PACKAGE)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    if (cache := REPOSITORY / ".mypy_cache").is_dir():
        shutil.copytree(cache, root / ".mypy_cache")
    edits = [edit for row in ROWS.values() for edit in row]
    places = [edit for edit in edits if edit[0] in ("rollout/judge.py", "rollout/phase.py")]
    write(root, [edit for edit in edits if edit not in places])
    forgotten = mypy(root)
    write(root, places)
    return SimpleNamespace(root=root, forgotten=forgotten)


@pytest.fixture(scope="module")
def answers(grown):
    env = {**os.environ, "PYTHONPATH": str(grown.root / "operator")}
    run = subprocess.run([sys.executable, "-c", ASKED], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_mypy_names_the_two_places_that_must_decide_by_a_new_kind_of_step(grown):
    assert grown.forgotten.keys() == {"rollout/judge.py", "rollout/phase.py"}
    assert all("assert_never" in error for error in grown.forgotten.values())


def test_mypy_finds_nothing_wrong_once_they_do(grown):
    assert mypy(grown.root) == {}


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ("a router", ["Ingress tiny", True]),
        ("a model server", "/v2/health/ready"),
        (
            "a sink",
            [
                "ml/chat: Step 1/2, 5 % affected. Undo: kubectl annotate modelrollout -n ml chat "
                "--overwrite modelrollout.io/abort=x"
            ],
        ),
        ("a source of samples", 30),
        ("a registry", "s3://models/chat/best"),
        ("a metric", True),
        ("a step", ["rest", 300, True]),
    ],
)
def test_what_was_added_as_the_table_says_works(answers, row, answer):
    assert answers[row] == answer


@pytest.mark.parametrize("row", ROWS)
def test_it_takes_no_more_files_than_the_table_promises(row):
    assert f"| {row}" in TABLE
    assert len({path for path, _, _ in ROWS[row]}) <= MOST[row]


def test_the_page_shows_the_files_that_each_row_touched():
    assert touched() in (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")


def test_each_file_that_the_table_names_exists():
    names = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)", TABLE.partition("\n\n")[0])
    assert len(names) > 10
    missing = [name for name in names if not any((REPOSITORY / top / name).exists() for top in ("", PACKAGE))]
    assert missing == []


if __name__ == "__main__":
    print(touched())
