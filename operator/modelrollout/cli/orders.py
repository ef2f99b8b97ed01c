"""The commands that give an order: promote, pause, resume, abort, rollback, retry, kill and unkill.

Each writes the annotation that docs/commands.md describes, names the revision or the step that it saw, so
that it never hits the next one, and waits a little for what the operator did with it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelrollout.api.names import PREFIX, RolloutKey
from modelrollout.api.objects import EVENT, Object, annotations_of
from modelrollout.api.status import CommandStatus, Status
from modelrollout.api.stored import status_in_part
from modelrollout.cli.reach import Reached, add_flags, reached, run
from modelrollout.cli.screen.output import add_output, write

REFUSED = 1
UNANSWERED = 3
REFUSALS = ("CommandIgnored", "CommandStale", "CommandRepeated")
"""Reasons of the Events that say why an order does nothing."""
POLL = 0.2


@dataclass(frozen=True)
class Verb:
    """What one of these commands does."""

    help: str
    annotation: str
    """The name of the annotation, without its prefix."""


VERBS = {
    "promote": Verb("Pass the step in progress, a gate or one without a verdict.", "promote"),
    "pause": Verb("Hold the revision on trial where it is; at rest, hold the next one.", "pause"),
    "resume": Verb("Take the pause off, so that the rollout goes on.", "pause"),
    "abort": Verb("Send everybody back to the revision that served before.", "abort"),
    "rollback": Verb("Send everybody back to the revision before, which is still warm.", "rollback"),
    "retry": Verb("Try the refused revision again, from the first step.", "retry"),
    "kill": Verb(
        "Send everybody back to the revision that served before, and let nothing new begin.", "kill"
    ),
    "unkill": Verb("Take the kill switch off, so that new revisions may begin.", "kill"),
}


_LIFTED = {"resume": "paused", "unkill": "killed"}
"""The state of the rollout that ends when the annotation is taken off."""


@dataclass(frozen=True)
class Answer:
    """What became of an order."""

    order: str
    """The annotation as it was written, `abort=kcqrsqm2fb`."""
    state: str
    """Done, Ignored, Bound (the operator keeps it until its moment) or Unanswered."""
    message: str
    """The operator's sentence, or what to do without one."""

    @property
    def exit_code(self) -> int:
        return {"Ignored": REFUSED, "Unanswered": UNANSWERED}.get(self.state, 0)


def parser(name: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=f"modelrollout {name}",
        description=f"{VERBS[name].help} Exit code 0: the operator has carried it out, or keeps it until its "
        "moment; 1: the operator refused, and says why; 2: the order could not be given; 3: it was given, "
        "and no operator has answered yet.",
    )
    made.add_argument("name", metavar="NAME", help="the ModelRollout")
    if name == "promote":
        made.add_argument("--full", action="store_true", help="pass every step that is left")
    if name == "rollback":
        made.add_argument("--to", default="", metavar="REVISION", help="the one to go back to")
    if name == "kill":
        made.add_argument("--reason", default="", metavar="TEXT", help="why; it stands in the annotation")
    made.add_argument(
        "--wait", type=float, default=10.0, metavar="SECONDS", help="for the answer; default: %(default)g"
    )
    add_output(made)
    add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    """`argv` begins with the verb."""
    verb, *rest = argv
    options = parser(verb).parse_args(rest)
    return run(verb, lambda: _order(verb, options))


async def _order(verb: str, options: argparse.Namespace) -> int:
    async with reached(options) as place:
        said = {name: value for name, value in vars(options).items() if name in ("full", "reason", "to")}
        answer = await give(place, options.name, verb, wait=options.wait, **said)
    if options.output:
        write(asdict(answer), options.output)
    else:
        print(f"{options.name}: {answer.order}: {answer.state}. {answer.message}")
    return answer.exit_code


def value_of(verb: str, status: Status, *, full: bool = False, reason: str = "", to: str = "") -> str | None:
    """What the annotation is to say; None takes it off.

    It names what was seen. Where nothing was, it is `true`, `step` or `full`: the operator says why that does
    nothing, or has seen more by then.
    """
    rolling = status.canary.revision if status.canary is not None else None
    promoted = status.stable.revision if status.stable is not None and status.previous is not None else None
    if verb in ("resume", "unkill"):
        return None
    if verb == "kill":
        return f"true # {reason}" if reason else "true"
    if to:
        return f"to@{to}"
    if verb == "promote" and full:
        return f"full@{rolling}" if rolling else "full"
    if verb == "promote":
        return f"step@{status.step.index + 1}" if rolling and status.step is not None else "step"
    if verb == "retry":
        return status.refused_revision or "true"
    if verb == "pause":
        return rolling or "true"
    return rolling or promoted or "true"


async def give(
    place: Reached,
    name: str,
    verb: str,
    *,
    full: bool = False,
    reason: str = "",
    to: str = "",
    wait: float = 10.0,
) -> Answer:
    """Write the order and wait up to `wait` seconds for what the operator makes of it."""
    body = await place.rollout(name)
    before = status_in_part(body.get("status") or {})
    key, annotation = RolloutKey(place.namespace, name), PREFIX + VERBS[verb].annotation
    value = value_of(verb, before, full=full, reason=reason, to=to)
    order = f"{VERBS[verb].annotation}={value}" if value is not None else f"{VERBS[verb].annotation}-"
    if value is None and annotation not in annotations_of(body):
        return Answer(order, "Ignored", f"{name} is not {_LIFTED[verb]} by a command. {before.message}")
    await place.cluster.merge(key.ref, key.namespace, {"metadata": {"annotations": {annotation: value}}})
    known = _record(before, annotation)
    deadline = time.monotonic() + wait
    while True:
        body = await place.rollout(name)
        found = outcome(order, value, known, body)
        if found is not None and found.state == "Ignored":
            return Answer(order, found.state, await _refusal(place, name, order) or found.message)
        if found is not None or time.monotonic() >= deadline:
            return found or unanswered(order, body, wait)
        await asyncio.sleep(POLL)


def outcome(order: str, value: str | None, before: CommandStatus | None, body: Object) -> Answer | None:
    """What the status says of the order; None while it says nothing, or that the operator keeps it."""
    status = status_in_part(body.get("status") or {})
    paused = any((each.type, each.status) == ("Paused", "True") for each in status.conditions)
    if order.startswith("kill"):
        wanted = "True" if value is not None else None
        killed = next((each.status for each in status.conditions if each.type == "Killed"), None)
        return Answer(order, "Done", status.message) if killed == wanted else None
    if value is None:
        held = any(each.reason == "PausedByCommand" for each in status.conditions)
        return None if held else Answer(order, "Done", status.message)
    record = _record(status, PREFIX + order.partition("=")[0])
    if record is None or record.value != value:
        return None
    if order.startswith("pause=") and paused:
        return Answer(order, "Done", status.message)
    if record.state == "Bound" or _same(record, before):
        return None
    return Answer(order, record.state, status.message)


def unanswered(order: str, body: Object, wait: float) -> Answer:
    """What to say when the order was not carried out in this time."""
    status = status_in_part(body.get("status") or {})
    for each in status.conditions:
        if (each.type, each.status) == ("Managed", "False"):
            return Answer(order, "Unanswered", f"{each.message}.")
    record = _record(status, PREFIX + order.partition("=")[0].rstrip("-"))
    if record is not None and order.startswith("kill="):
        return Answer(order, "Bound", f"Not everybody is back yet. {status.message}")
    if record is not None and record.state == "Bound" and order == f"{record.name}={record.value}":
        kept = f"The operator keeps it for revision {record.revision}. {status.message}"
        return Answer(order, "Bound", kept)
    if order == "pause=true" and status.canary is None:
        kept = "Nothing is on trial; the next revision will be held before it gets any traffic."
        return Answer(order, "Bound", kept)
    message = (
        f"No operator has taken it up within {wait:g} s. It stands on the object until one does: see "
        "whether the operator runs, and who holds its Lease (kubectl get lease -A)."
    )
    return Answer(order, "Unanswered", message)


def _record(status: Status, annotation: str) -> CommandStatus | None:
    name = annotation.removeprefix(PREFIX)
    return next((each for each in status.commands if each.name == name), None)


def _same(record: CommandStatus, before: CommandStatus | None) -> bool:
    """The record is about an order from before."""
    return before is not None and (record.seen, record.at) == (before.seen, before.at)


async def _refusal(place: Reached, name: str, order: str) -> str:
    """The newest Event that says why such an order does nothing; empty when no Event does."""
    command = PREFIX + order.partition("=")[0]
    events: list[dict[str, Any]] = await place.cluster.list(
        EVENT, place.namespace, fields=f"involvedObject.name={name}"
    )
    said = [each for each in events if each.get("reason") in REFUSALS and command in each.get("message", "")]
    said.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("firstTimestamp") or ""))
    return str(said[-1]["message"]) if said else ""
