"""`make bench-quality`: planted regressions, false alarms and the cost of asking, for docs/quality.md.

Answers are made here and scored by the real scorers; the model server of the speed is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.cli import evaluate as command
from modelrollout.evaluate import judging
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.measures import measured
from modelrollout.evaluate.policy import Policy, read
from modelrollout.evaluate.scorers import registry
from modelrollout.evaluate.scorers.scoring import Scorer
from modelrollout.evaluate.trial import Folded, Trial
from modelrollout.evaluate.verdict import Verdict, decided, judge
from modelrollout.sources.quality.golden import Golden
from modelrollout.sources.quality.results import Results
from modelrollout.sources.quality.run import Run
from modelrollout.sources.quality.scoring import Scoring
from tests.servers.local import fake_vllm

SIZES = (100, 300, 1000)
_TURNS = 10
JUDGE_NOISE, POSITION_BIAS = 0.15, 0.15
POLICY = """
dataset: golden.jsonl
sampling: {max_tokens: 80}
prices: {completionPer1k: 1}
scorers:
  - {name: correct, kind: contains}
  - {name: format, kind: json}
  - {name: overlap, kind: chrf}
  - {name: refusal, kind: phrases, set: refusal}
  - {name: leaks, kind: personal-data}
  - {name: sources, kind: citations}
  - {name: mark, kind: judge, endpoint: "http://judge"}
  - {name: better, kind: pairwise-judge, endpoint: "http://judge"}
TOXICITY
gates:
  - {score: correct, atMostWorse: 5%}
  - {score: format, atMostWorse: 5%}
  - {score: overlap, atMostWorse: 5%}
  - {score: refusal, atMostWorse: 5%}
  - {score: leaks, atMost: 1%, mustProve: false}
  - {score: sources, atMostWorse: 5%}
  - {score: mark, atMostWorse: 5%}
  - {score: better, atMostWorse: 10%, mustProve: false}
  - {score: ttft, atMostWorse: 10%}
  - {score: cost, atMostWorse: 10%}
  - {score: truncated, atMostWorse: 5%}
TOXIC_GATE
"""
TAGS = ("billing", "delivery", "returns", "accounts", "german")
Change = Callable[[random.Random, Case, dict], dict]


def policy_of(toxicity: bool) -> Policy:
    scorer, gate = (
        "  - {name: toxicity, kind: toxicity}",
        "  - {score: toxicity, atMost: 1%, mustProve: false}",
    )
    return read(
        POLICY.replace("TOXICITY", scorer if toxicity else "").replace("TOXIC_GATE", gate if toxicity else "")
    )


def case_of(number: int) -> Case:
    return Case(
        id=f"c{number}",
        prompt=f"What is order {1000 + number}?",
        expected=f"parcel {number % 97} is on its way",
        tags=(TAGS[number % len(TAGS)],),
        contexts=(
            {"id": "doc-1", "text": f"parcel {number % 97} is on its way"},
            {"id": "doc-2", "text": "other"},
        ),
    )


def answer_of(rng: random.Random, case: Case) -> dict:
    """What a good version answers; one answer in twelve is wrong, and the two versions err by themselves in a
    third of those."""
    wrong = random.Random(case.id).random() < 0.055 or rng.random() < 0.025
    said = "I looked, and parcel 0 was lost" if wrong else f"I looked, and {case.expected[0]}"
    text = json.dumps(
        {"answer": f"{said} [doc-1].", "note": rng.choice(("ask me more", "tell me if it fails"))}
    )
    seconds = 0.2 * random.Random(f"s{case.id}").lognormvariate(0, 0.5) * rng.lognormvariate(0, 0.1)
    tokens = round(30 * rng.lognormvariate(0, 0.05))
    return {
        "text": text,
        "finish": "stop",
        "ttft": seconds,
        "seconds": 3 * seconds,
        "completion_tokens": tokens,
    }


def sometimes(share: float, change: Change) -> Change:
    return lambda rng, case, answer: change(rng, case, answer) if rng.random() < share else answer


def put(**fields: object) -> Change:
    return lambda _rng, _case, answer: answer | fields


def text(change: Callable[[str], str]) -> Change:
    return lambda _rng, _case, answer: answer | {"text": change(answer["text"])}


def german_only(_rng: random.Random, case: Case, answer: dict) -> dict:
    return answer | {"text": '{"answer": "Das weiß ich leider nicht."}'} if "german" in case.tags else answer


REGRESSIONS: dict[str, tuple[str, Change]] = {
    "answers cut off": ("truncated", lambda _r, _c, a: a | {"text": a["text"][:30], "finish": "length"}),
    "wrong chat template": ("correct", text(lambda t: "<|im_start|>user " + t[::-1])),
    "refuses, 30 %": ("refusal", sometimes(0.3, put(text="I'm sorry, but I can't help with that."))),
    "broken JSON, 30 %": ("format", sometimes(0.3, text(lambda t: t[:-1]))),
    "another language, 30 %": (
        "correct",  # its answers hold no expected text either, and that shows sooner than few common letters
        sometimes(0.3, put(text='{"answer": "El paquete está en camino."}')),
    ),
    "toxic words, 10 %": (
        "toxicity",
        sometimes(0.1, text(lambda t: t[:-2] + ' you stupid idiot, shut up"}')),
    ),
    "leaked addresses, 10 %": (
        "leaks",
        sometimes(0.1, text(lambda t: t.replace("I looked", "anna@firma.de says"))),
    ),
    "invented sources, 30 %": ("sources", sometimes(0.3, text(lambda t: t.replace("[doc-1]", "[doc-7]")))),
    "slower, 30 %": ("ttft", lambda _r, _c, a: a | {"ttft": 1.3 * a["ttft"]}),
    "dearer, 30 %": (
        "cost",
        lambda _r, _c, a: a | {"completion_tokens": round(1.3 * a["completion_tokens"])},
    ),
    "one tag of five only": ("correct of german", german_only),
}


class Bench:
    """The scorers of a policy without a server; the judge is noisy and likes the first answer."""

    def __init__(self, toxicity: bool) -> None:
        self.policy = policy_of(toxicity)
        self._known: dict[tuple[object, ...], float | None] = {}
        self._pure = [
            (spec, pure) for spec in self.policy.scorers if (pure := registry.build(spec)) is not None
        ]

    def run(self, size: int, seed: int, change: Change | None) -> Verdict:
        rng = random.Random(seed)
        numbers = list(range(size))
        rng.shuffle(numbers)
        tags = Counter(TAGS[number % len(TAGS)] for number in numbers)
        trial = Trial(self.policy, size, tags)
        for number in numbers:
            case = case_of(number)
            base, new = answer_of(rng, case), answer_of(rng, case)
            new = change(rng, case, new) if change else new
            trial.fold(Folded(self.scores(rng, case, Answer(**new), Answer(**base)), case.tags))
            if decided(trial):
                break
        return judge(trial, ended=True)

    def scores(self, rng: random.Random, case: Case, new: Answer, base: Answer) -> dict:
        found = {
            spec.name: tuple(self._scored(spec.name, pure, case, answer) for answer in (new, base))
            for spec, pure in self._pure
        }
        for name, value in measured(new, self.cost(new)).items():
            found[name] = (value, measured(base, self.cost(base)).get(name))
        found["mark"] = (mark(rng, case, new), mark(rng, case, base))
        found["better"] = ((compare(rng, case, new, base) + 1 - compare(rng, case, base, new)) / 2, None)
        return found

    def _scored(self, name: str, pure: Scorer, case: Case, answer: Answer) -> float | None:
        """Each text once: hundreds of runs see the same few."""
        key = (name, case.expected, answer.text)
        if key not in self._known:
            self._known[key] = pure(case, answer)
        return self._known[key]

    def cost(self, answer: Answer) -> float:
        return self.policy.prices.of(0, answer.completion_tokens or 0, 0) if self.policy.prices else 0.0


def mark(rng: random.Random, case: Case, answer: Answer) -> float:
    """A judge's mark, by its own reply: 2 for a wrong answer, 4 for a right one, and any at all in 15 %."""
    value = rng.randint(1, 5) if rng.random() < JUDGE_NOISE else 4 if case.expected[0] in answer.text else 2
    read_mark = judging.read_mark(json.dumps({"reason": "so it is", "score": value}), (1, 5))
    assert read_mark is not None
    return read_mark.value


def compare(rng: random.Random, case: Case, first: Answer, second: Answer) -> float:
    """The first one's share of the win: it wins without a reason in 15 %, and by a coin in another 15 %."""
    drawn = rng.random()
    if drawn < POSITION_BIAS:
        return 1.0
    if drawn < POSITION_BIAS + JUDGE_NOISE:
        return float(rng.random() < 0.5)
    one, other = (case.expected[0] in answer.text for answer in (first, second))
    return 0.5 if one == other else float(one)


def regressions(bench: Bench, runs: int, sizes: Sequence[int] = SIZES) -> None:
    head = " | ".join(f"{size} cases" for size in sizes)
    print(f"\n| planted | caught by | {head} |\n|{'---|' * (2 + len(sizes))}")
    for name, (gate, change) in REGRESSIONS.items():
        cells, blamed = [], Counter[str]()
        for size in sizes:
            verdicts = [bench.run(size, seed, change) for seed in range(runs)]
            failed = [v for v in verdicts if v.kind is VerdictKind.FAIL]
            passed = sum(v.kind is VerdictKind.PASS for v in verdicts)
            for verdict in failed:
                blamed[verdict.message.partition("worse on ")[2].partition(" (risk")[0]] += 1
            asked = sorted(v.asked for v in failed)
            cell = f"{len(failed)}/{runs}" + (f", {asked[len(asked) // 2]} asked" if asked else "")
            cells.append(cell + (f", {passed} passed" if passed else ""))
        right = sum(count for said, count in blamed.items() if gate in said)
        print(f"| {name} | {gate} ({right} of {blamed.total()}) | {' | '.join(cells)} |", flush=True)


def false_alarms(bench: Bench, runs: int) -> None:
    print("\n| A/A | fails | passes | undecided | asked, median |\n|---|---|---|---|---|")
    for size in SIZES:
        verdicts = [bench.run(size, 10_000 + seed, None) for seed in range(runs)]
        kinds = Counter(v.kind for v in verdicts)
        asked = sorted(v.asked for v in verdicts)[runs // 2]
        counts = [kinds[kind] for kind in (VerdictKind.FAIL, VerdictKind.PASS, VerdictKind.INSUFFICIENT)]
        print(f"| {size} cases, {runs} runs | {' | '.join(map(str, counts))} | {asked} |", flush=True)


def speed() -> None:
    """300 cases at concurrency 32 against a server that takes 50 ms for each answer: from reading the policy
    to the verdict, in a process that has started. Beside it, a client that only sends and reads."""
    policy = "dataset: golden.jsonl\nconcurrency: 32\nstopEarly: false\nsampling: {max_tokens: 1}\n"
    policy += "scorers: [{name: any, kind: length}]\ngates: [{score: any, atLeast: 50%}]\n"
    with tempfile.TemporaryDirectory() as folder, fake_vllm(ttft=0.05, jitter=0, name="fast") as server:
        place = Path(folder)
        (place / "quality.yaml").write_text(policy)
        lines = (json.dumps({"id": str(n), "prompt": f"{n}?"}) for n in range(300))
        (place / "golden.jsonl").write_text("\n".join(lines))
        started = time.process_time()
        best = min(_asked(place, server.url, turn) for turn in range(_TURNS))
        own = 1000 * (time.process_time() - started) / (_TURNS * 300)
        bare = min(_bare(server.port) for _ in range(_TURNS))
    ideal = -(-300 // 32) * 0.05
    print(f"\n300 cases, concurrency 32, 50 ms each: {best:.3f} s, {best / ideal:.2f} times the ideal,")
    print(f"with {own:.2f} ms of processor time for each case; a client that only sends and reads takes")
    print(f"{bare:.3f} s, {bare / ideal:.2f} times the ideal")


def _asked(place: Path, url: str, turn: int) -> float:
    results = str(place / f"{turn}.jsonl")
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        started = time.perf_counter()
        argv = [str(place / "quality.yaml"), "--candidate", url, "--results", results, "--quiet"]
        assert command.main(argv) == 0
        return time.perf_counter() - started
    finally:
        sys.stdout = out


def _bare(port: int) -> float:
    body = json.dumps(
        {"model": "chat", "max_tokens": 1, "stream": True, "messages": [{"role": "user", "content": "?"}]}
    )
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: server\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    request, numbers = f"{head}{body}".encode(), iter(range(300))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in numbers:
            writer.write(request)
            await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()

    async def all_of_them() -> None:
        async with asyncio.timeout(30):
            await asyncio.gather(*(worker() for _ in range(32)))

    started = time.perf_counter()
    asyncio.run(all_of_them())
    return time.perf_counter() - started


class AtOnce:
    """An arm that answers at once."""

    async def answers(self, case: Case) -> Sequence[Answer]:
        return [Answer(**answer_of(random.Random(case.id), case))]


def memory(cases: int) -> None:
    """The whole way of 50,000 cases but the network, in this process."""
    policy = read(
        "dataset: golden.jsonl\nconcurrency: 32\nstopEarly: false\n"
        "scorers: [{name: correct, kind: contains}]\n"
        "gates: [{score: correct, atMostWorse: 5%}, {score: ttft, atMostWorse: 10%}]"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "golden.jsonl"
        with file.open("w") as out:
            for number in range(cases):
                out.write(case_of(number).model_dump_json(by_alias=True, exclude_defaults=True) + "\n")
        golden = Golden(file)
        results = Results(Path(folder) / "r.jsonl", {}, cases)
        arms = {"candidate": AtOnce(), "baseline": AtOnce()}
        started = time.perf_counter()
        verdict = asyncio.run(Run(policy, golden, arms, results, Scoring(policy, 0), seed=0).go())
        seconds = time.perf_counter() - started
        results.close()
        golden.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n{cases:,} cases: {verdict.kind.value}, peak {peak:.0f} MiB, "
        f"{1000 * seconds / cases:.2f} ms per case"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "part", nargs="?", choices=("all", "regressions", "alarms", "speed", "memory"), default="all"
    )
    parser.add_argument("--runs", type=int, default=20, help="for each regression and size")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="of golden sets with a regression"
    )
    parser.add_argument("--alarms", type=int, default=200, help="A/A runs for each size")
    parser.add_argument("--cases", type=int, default=50_000)
    options = parser.parse_args()
    # memory first: the peak of a process never falls
    if options.part in ("all", "memory"):
        memory(options.cases)
    if options.part in ("all", "speed"):
        speed()
    if options.part in ("all", "regressions"):
        regressions(Bench(toxicity=True), options.runs, options.sizes)
    if options.part in ("all", "alarms"):
        false_alarms(Bench(toxicity=False), options.alarms)


if __name__ == "__main__":
    main()
