"""`modelrollout judge-agreement`: how far a policy's judges agree with the people who marked answers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from modelrollout.api.mistakes import Mistaken
from modelrollout.cli.evaluate import open_golden, text_of
from modelrollout.evaluate.findings import Findings
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.trial import Trial
from modelrollout.sources.quality.endpoint import Unavailable
from modelrollout.sources.quality.run import label
from modelrollout.sources.quality.scoring import Scoring


def main(argv: Sequence[str]) -> int:
    """0 when at least one judge marked an answer; 3 with sentences on stderr when none could."""
    parser = argparse.ArgumentParser(
        prog="modelrollout judge-agreement",
        description="Have a policy's judges mark the answers that people marked (`judged` in the cases).",
    )
    parser.add_argument("policy", metavar="POLICY")
    parser.add_argument("--dataset", metavar="FILE", help="cases with `judged`, instead of the policy's")
    options = parser.parse_args(argv)
    try:
        return asyncio.run(_agree(Path(options.policy), options.dataset))
    except (Mistaken, Unavailable) as error:
        for sentence in str(error).splitlines():
            print(f"modelrollout judge-agreement: {sentence}", file=sys.stderr)
        return 3


async def _agree(path: Path, dataset: str | None) -> int:
    policy = read(text_of(path), path.name)
    with ExitStack() as files:
        golden = await open_golden(policy, path, dataset, files)
        if not golden.labelled:
            example = "[{answer: a text, score: 4}]"
            raise Mistaken(
                [f"{golden.path.name}: No case has `judged`, such as {example}: nothing to compare with."]
            )
        async with AsyncExitStack() as closing:
            scoring = Scoring(policy, 0)
            closing.push_async_callback(scoring.close)
            findings = Findings(Trial(policy, len(golden), golden.tags))
            await label(golden, scoring, findings)
    people = findings.people()
    for name, panel in scoring.panels.items():
        if panel.spec.kind == "judge":
            made = people.get(name)
            said = made.text if made is not None else f"no answer was marked. {panel.last_problem}"
            print(f"{name} ({panel.prompt.version}, {', '.join(panel.models)}): {said}")
    return 0 if people else 3
