"""`modelrollout evaluate`: a golden set against a candidate and its baseline; exits 0 to 3 by verdict."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from modelrollout.api.mistakes import Mistaken, readable
from modelrollout.cli import evaluate_reports as reports
from modelrollout.cli.evaluate_progress import ProgressBar, write_atomically
from modelrollout.evaluate import directions
from modelrollout.evaluate.elo import ratings
from modelrollout.evaluate.planning import forecasts
from modelrollout.evaluate.policy import Policy, read
from modelrollout.evaluate.redaction import Redaction
from modelrollout.evaluate.reports import document
from modelrollout.evaluate.reports.report import Report
from modelrollout.sources.quality import results as stored
from modelrollout.sources.quality.endpoint import Endpoint, Unavailable
from modelrollout.sources.quality.golden import Golden
from modelrollout.sources.quality.history import answers_of, matches_of
from modelrollout.sources.quality.results import Results
from modelrollout.sources.quality.run import Arm, Live, Remembered, Run
from modelrollout.sources.quality.scoring import Scoring

ERROR = 3
_DESCRIPTION = (
    "Ask a candidate, and the baseline beside it, the cases of a golden set; score the answers and judge the "
    "gates of the policy. Exit code 0: pass, 1: fail, 2: not enough evidence, 3: "
    "something could not be asked."
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="modelrollout evaluate", description=_DESCRIPTION)
    made.add_argument("policy", metavar="POLICY", help="the policy, such as quality.yaml")
    made.add_argument("--candidate", metavar="URL", required=True, help="the server on trial, with /v1")
    made.add_argument("--baseline", metavar="URL", help="the server that it is compared with")
    made.add_argument(
        "--against",
        metavar="RESULTS",
        help='compare with the candidate of a stored run; "last": of the last one',
    )
    made.add_argument("--candidate-system", metavar="FILE", help="the candidate's system prompt")
    made.add_argument("--baseline-system", metavar="FILE", help="the baseline's system prompt")
    made.add_argument("--candidate-name", metavar="NAME", default="candidate", help="for reports and ratings")
    made.add_argument("--baseline-name", metavar="NAME", default="baseline", help="for reports and ratings")
    made.add_argument("--dataset", metavar="FILE", help="the golden set, instead of the policy's")
    made.add_argument(
        "--results", metavar="FILE", help="where answers and scores are kept; a killed run goes on"
    )
    made.add_argument("--report", metavar="FILE", help="write Markdown, for a pull request comment")
    made.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    made.add_argument("--json", metavar="FILE", help="write JSON")
    made.add_argument("--summary-file", metavar="FILE", help="keep the state in at most 4 KiB of JSON here")
    made.add_argument(
        "--elo",
        metavar="RESULTS",
        nargs="+",
        default=[],
        help="rate the versions of these stored runs as well",
    )
    made.add_argument("--plan", action="store_true", help="say what the evaluation can find, and ask nothing")
    made.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return made


def main(argv: Sequence[str]) -> int:
    """The verdict's exit code; 3 with sentences on stderr when the evaluation cannot be run."""
    options = parser().parse_args(argv)
    try:
        return asyncio.run(_evaluate(options))
    except (Mistaken, Unavailable) as error:
        sentences = error.sentences if isinstance(error, Mistaken) else (str(error),)
        for sentence in sentences:
            print(f"modelrollout evaluate: {sentence}", file=sys.stderr)
        if options.summary_file:
            write_atomically(Path(options.summary_file), document.failed(sentences))
        return ERROR
    except KeyboardInterrupt:
        print(
            "modelrollout evaluate: Stopped. The same command goes on from the results file.", file=sys.stderr
        )
        return 130


@dataclass(frozen=True, slots=True)
class _Prepared:
    policy: Policy
    golden: Golden
    path: Path
    options: Any


async def _evaluate(options: Any) -> int:
    path = Path(options.policy)
    policy = read(text_of(path), path.name)
    if options.baseline and options.against:
        raise Mistaken(["Give either --baseline or --against: the candidate is compared with one of them."])
    with ExitStack() as files:
        golden = await open_golden(policy, path, options.dataset, files)
        prepared = _Prepared(policy, golden, path, options)
        async with AsyncExitStack() as closing:
            return await _run(prepared, files, closing)


async def _run(prepared: _Prepared, files: ExitStack, closing: AsyncExitStack) -> int:
    policy, golden, options = prepared.policy, prepared.golden, prepared.options
    seed = policy.sampling.seed or 0
    scoring = Scoring(policy, seed)
    closing.push_async_callback(scoring.close)
    arms, versions = await _arms(prepared, closing)
    file = Path(options.results or f".modelrollout/{prepared.path.stem}.results.jsonl")
    names = {"candidate": options.candidate_name, "baseline": options.baseline_name}
    header = {
        "policy": policy.digest,
        "dataset": golden.digest,
        "cases": len(golden),
        "versions": versions,
        "names": names,
        "scores": directions.written(policy),
    }
    results = Results(file, header, len(golden))
    files.callback(results.close)
    run = Run(policy, golden, arms, results, scoring, seed=seed)
    planned = tuple(forecasts(run.trial))
    summary = Path(options.summary_file) if options.summary_file else None
    bar = ProgressBar(sys.stderr, options.quiet, summary)
    bar.begin(planned, len(golden), results.taken_up)
    if options.plan:
        return 0
    verdict = await run.go(bar.told)
    bar.end()
    await run.ask_people()
    matches = [*matches_of([Path(one) for one in options.elo]), *_own_matches(run, options)]
    report = Report(
        prepared.path.stem,
        policy,
        run.trial,
        verdict,
        run.findings,
        planned,
        versions,
        names,
        {
            name: f"prompt {panel.prompt.version}, {', '.join(panel.models)}"
            for name, panel in scoring.panels.items()
        },
        ratings(matches) if len({name for match in matches for name in match[:2]}) > 2 else {},
        _remarks(run),
    )
    results.finish({"verdict": verdict.kind.value, "message": verdict.message, "asked": verdict.asked})
    reports.write(report, options)
    await reports.store(report, file)
    if summary is not None:
        write_atomically(summary, document.summary(verdict, policy.digest))
    print(f"{verdict.kind.value}: {verdict.message}")
    return verdict.exit_code


def _remarks(run: Run) -> tuple[str, ...]:
    """What judges and scorers said instead of marks."""
    panels = run.scoring.panels.items()
    judges = [f"Judge {name}: {panel.last_problem}" for name, panel in panels if panel.last_problem]
    return *judges, *(f"Scorer {name}: {said}" for name, said in run.findings.failures.items())


def _own_matches(run: Run, options: Any) -> list[tuple[str, str, float]]:
    return [(options.candidate_name, options.baseline_name, share) for _, share in run.findings.matches]


async def _arms(prepared: _Prepared, closing: AsyncExitStack) -> tuple[dict[str, Arm], dict[str, str]]:
    policy, options = prepared.policy, prepared.options
    arms: dict[str, Arm] = {}
    versions: dict[str, str] = {}
    sides = [("candidate", options.candidate, options.candidate_system)]
    if options.baseline:
        sides.append(("baseline", options.baseline, options.baseline_system))
    for side, address, prompt in sides:
        endpoint = Endpoint(
            address,
            model=policy.model,
            api=policy.api,
            key_env=policy.api_key_env,
            timeout=policy.timeout,
            retries=policy.retries,
        )
        closing.push_async_callback(endpoint.close)
        model = policy.model if options.plan else await endpoint.learn_model()
        system = text_of(Path(prompt)) if prompt else policy.system
        arms[side] = Live(endpoint, policy, system)
        versions[side] = f"{model} at {endpoint.address}" + (f", prompt {prompt}" if prompt else "")
    if options.against:
        file = _last(prepared) if options.against == "last" else Path(options.against)
        arms["baseline"] = Remembered(answers_of(file))
        versions["baseline"] = f"the run stored in {file}"
    return arms, versions


def _last(prepared: _Prepared) -> Path:
    """The finished run whose results this one would replace, or the one before it."""
    options = prepared.options
    file = Path(options.results or f".modelrollout/{prepared.path.stem}.results.jsonl")
    for one in (file, stored.previous(file)):
        if one.exists() and any(record.get("kind") == "end" for record in stored.read(one)):
            return one
    raise Mistaken([f"There is no finished run in {file} to compare with; run it once with --baseline."])


async def open_golden(policy: Policy, path: Path, given: str | None, files: ExitStack) -> Golden:
    """The policy's golden set; a file is looked for beside the policy. Raises Mistaken."""
    dataset = policy.dataset
    if given is not None:
        file = Path(given)
    elif dataset.file is not None:
        file = path.parent / dataset.file
    elif dataset.url is not None:
        file = await _fetched(dataset.url, files, dataset.redaction)
    else:
        raise Mistaken([f"{path.name}: The dataset is in the cluster; give the file by --dataset."])
    golden = Golden(file, dataset)
    files.callback(golden.close)
    return golden


async def _fetched(url: str, files: ExitStack, redaction: Redaction | None) -> Path:
    """Copy what is at the address to a file. Where it has to be redacted, that happens line by line, before
    it is on a disk."""
    folder = files.enter_context(tempfile.TemporaryDirectory())
    file = Path(folder) / (url.rpartition("/")[2] or "golden.jsonl")
    try:
        async with (
            httpx.AsyncClient(timeout=60, follow_redirects=True) as http,
            http.stream("GET", url) as response,
        ):
            response.raise_for_status()
            with file.open("wb") as out:
                if redaction is None:
                    async for part in response.aiter_bytes():
                        out.write(part)
                else:
                    async for line in response.aiter_lines():
                        out.write(_redacted(line, redaction))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Mistaken([f"The dataset cannot be read from {url}: {error}."]) from error
    return file


def _redacted(line: str, redaction: Redaction) -> bytes:
    """A line of JSON with its texts redacted. A line that cannot be read keeps its mistake, for the
    sentence that names it."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return f"{redaction.text(line)}\n".encode()
    return f"{json.dumps(redaction.clean(given), ensure_ascii=False)}\n".encode()


def text_of(path: Path) -> str:
    with readable(path):
        return path.read_text(encoding="utf-8")
