"""`modelrollout plan`: how long each step of a rollout will take, and what it can find in that time."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Sequence
from typing import Any

from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from modelrollout.analysis.packs.catalogue import problems
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.packs.measures import unusable
from modelrollout.analysis.planning.planner import MetricForecast, StageForecast
from modelrollout.api.spec import Spec
from modelrollout.api.stages import Bandit, Experiment, Stage, stages
from modelrollout.cli.manifest import Unreadable, read
from modelrollout.cli.reach import NO_CLUSTER, Absent, add_flags, reached
from modelrollout.cluster.errors import ClusterError
from modelrollout.rollout import contest
from modelrollout.rollout.steps import expand
from modelrollout.sources import forecast
from modelrollout.sources.provider import ProviderError


class Unplannable(Exception):
    """The sentence for the person who asked."""


def main(argv: Sequence[str]) -> int:
    """Print a line per step; 2 with a sentence on stderr when there is nothing to plan from."""
    parser = argparse.ArgumentParser(prog="modelrollout plan", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", metavar="NAME", nargs="?", help="a ModelRollout in the cluster")
    what.add_argument(
        "-f", "--file", help="or a manifest with one ModelRollout among others; - reads standard input"
    )
    parser.add_argument("--prometheus", metavar="URL", help="another address than the manifest's, from here")
    parser.add_argument(
        "--rate", type=float, metavar="R", help="requests per second, instead of asking Prometheus"
    )
    add_flags(parser)
    options = parser.parse_args(argv)
    try:
        resource = read(options.file) if options.file else asyncio.run(_fetched(options))
        spec = spec_of(resource, options.prometheus)
        metadata = resource["metadata"]
        namespace = options.namespace or metadata.get("namespace", "default")
        known = what_is_known(spec, namespace, metadata["name"], options.rate)
    except ConfigException as error:
        print(f"modelrollout plan: no cluster to ask ({error}). {NO_CLUSTER}", file=sys.stderr)
        return 2
    except (Absent, ClusterError, Unreadable, Unplannable, ProviderError) as error:
        print(f"modelrollout plan: {error}", file=sys.stderr)
        return 2
    for line in report(spec, known):
        print(line)
    return 0


async def _fetched(options: argparse.Namespace) -> dict[str, Any]:
    async with reached(options) as place:
        return await place.rollout(options.name)


def spec_of(resource: dict[str, Any], prometheus: str | None) -> Spec:
    try:
        spec = Spec.model_validate(resource.get("spec") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Unplannable(
            f"spec.{where}: {first['msg']}. `kubectl apply --dry-run=server` says more."
        ) from error
    analysis = analysis_of(spec)
    if analysis is None:
        raise Unplannable("The rollout has no spec.analysis: its steps take just what their `for` says.")
    if wrong := (*problems(analysis.metrics), *unusable(stages(expand(spec)))):
        raise Unplannable(" ".join(problem.message for problem in wrong))
    if prometheus is not None:
        server = analysis.prometheus.model_copy(update={"address": prometheus})
        analysis = analysis.model_copy(update={"prometheus": server})
    return spec.model_copy(update={"analysis": analysis})


def what_is_known(spec: Spec, namespace: str, rollout: str, rate: float | None) -> forecast.Known:
    assert spec.analysis is not None
    if rate is not None:
        return forecast.assumed(spec.analysis, rate)
    known = asyncio.run(forecast.measured(spec, namespace, rollout))
    if known is None or not any(known.units.values()):
        raise Unplannable(
            f"{spec.analysis.prometheus.address} knows no traffic of two or more pods with "
            f'namespace="{namespace}" and rollout="{rollout}" in the past hour. '
            "Say how many requests per second there will be: --rate 20."
        )
    return known


def report(spec: Spec, known: forecast.Known) -> list[str]:
    """A table for people."""
    forecasts = forecast.steps_of(spec, known)
    wide = max(16, *(len(stage.title) + 1 for stage, _ in forecasts))
    lines = [f"{'step':<6}{'traffic':<{wide}}{'takes about':<14}decided by"]
    for number, (stage, expected) in enumerate(forecasts, 1):
        takes = duration(expected.seconds)
        lines.append(
            f"{number}/{len(forecasts):<4}{stage.title:<{wide}}{takes:<14}{decides(stage, expected)}"
        )
        lines += [f"      takes {planned}" for planned in users(stage)]
        lines += [f"      {finding(metric)}" for metric in expected.metrics]
    total = sum(expected.seconds for _, expected in forecasts)
    waits = " and the time that a person takes" if any(stage.stay is None for stage, _ in forecasts) else ""
    if any(users(stage) for stage, _ in forecasts):
        waits += " and the time in which the users of experiments and bandits come"
    lines.append(f"all   about {duration(total)}{waits}, beside the time that pods need to load the model")
    if known.assumed:
        lines.append(
            f"assumed, because nothing is known of them from before: {', '.join(known.assumed)} "
            "(as many requests as the others, none of them bad, latencies spread as they mostly are)"
        )
    if unplanned := [metric.name for metric in known.metrics if not known.is_planned(metric)]:
        lines.append(f"not planned: {', '.join(unplanned)}")
    whole = forecast.outlook(spec, known)
    warnings = [*whole.remarks, *([whole.late] if whole.late is not None else [])]
    return [*lines, *(f"warning: {warning}" for warning in warnings)]


def users(stage: Stage) -> list[str]:
    """What an experiment or a bandit takes, before it begins."""
    if not isinstance(stage, Experiment | Bandit):
        return []
    terms = contest.terms_of(stage)
    return [contest.plan_of(stage, terms)] if terms is not None else []


def decides(stage: Stage, expected: StageForecast) -> str:
    """Say what ends the stage."""
    if stage.opened_by:
        return stage.opened_by
    if not expected.comparable:
        return "its time; nothing is compared"
    return expected.slowest or "its shortest stay"


def finding(metric: MetricForecast) -> str:
    finds = "finds nothing in that time" if metric.finds is None else f"finds {metric.finds:.2%} and worse"
    passes = f"passes in {duration(metric.seconds_to_pass)}" if metric.asked else "not asked for here"
    share = f"control {metric.control:.2%} bad, limit {metric.limit:.2%}"
    if metric.times is not None:
        share = f"control {metric.control:.2g} events per unit, limit {metric.times:.3g} times as many"
        return f"{metric.name}: {share}, {passes}"
    return f"{metric.name}: {share}, {passes}, {finds}"


def duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "never"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
