"""How traffic moves on the real data plane: shares, failures, cut streams, and how fast an abort and a kill
are.

`make bench-traffic`: the bed's istiod and Envoy, the operator as a process, one rollout behind an HTTPRoute
and one behind a VirtualService. The weights go 1, 5, 25, 50, 100 and home by an abort, while users ask as
fast as they are answered and streams are open all the time.
"""

import argparse
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.apiserver.process import Operator
from tests.bed.cluster import OwnCluster, running_cluster
from tests.bed.plugin import apply_our_crds, namespace_on
from tests.cluster.e2e.chat import Chat
from tests.load.load import Load
from tests.load.tally import interval

WEIGHTS = (1, 5, 25, 50, 100)
KINDS = {"HTTPRoute": "HTTPRoute", "hosts": "VirtualService"}
SETTLE = 1.0
"""Seconds after a change whose requests count as sent during it, and not to its share."""
TOKEN, TOKENS, STREAMS = 0.025, 100, 5
"""Seconds from token to token of a stream, its tokens, and streams begun per second: a dozen are open."""
ABORT_RATE = 200
"""Requests a second while an abort is timed: few enough that they do not slow it down."""
PEERS = """
  abort -> route write, ms, few rollouts, on an API server without a data plane:
    Argo Rollouts 1.10.2    60 (60-100), n = 3; 20 aborts beside 11 paused rollouts: 290 (80-760)
    Flagger 1.44.0          4800 (1800-7600), n = 7, at its shortest interval of 10 s"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=7200, help="at each weight, 5,000 or more")
    parser.add_argument("--aborts", type=int, default=10, help="of each kind of route, and kills")
    parser.add_argument("--kills-only", action="store_true", help="leave the shares out")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        cluster = running_cluster() or stack.enter_context(OwnCluster())
        apply_our_crds(cluster)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        operator = stack.enter_context(Operator(cluster, folder, identity="bench"))
        operator.wait_ready()
        http = stack.enter_context(cluster.client())
        silent = stack.enter_context(Silent())
        totals = Counter()
        for kind in KINDS:
            chat = Chat(cluster, http, stack.enter_context(namespace_on(cluster)), kind)
            chat.apply()
            chat.wait("Stable", 60)
            totals += Counter() if given.kills_only else shares(chat, given.requests)
            aborts(chat, given.aborts)
            kills(chat, given.aborts, operator, silent)
            chat.delete()
        print(
            f"\nall: {totals['failed']} of {totals['sent']:,} requests failed, "
            f"{totals['cut']} of {totals['streams']:,} streams cut{PEERS}"
        )


# ── shares ──────────────────────────────────────────────────────────────────────────────────────


def shares(chat, requests):
    """Up through the weights and home again, with a line for each; counts of requests and streams."""
    print(f"\n{KINDS[chat.kind]}\n  {'asked':>7} {'requests':>9} {'observed':>9}   95 % interval    failed")
    steps = [step for weight in WEIGHTS for step in ({"weight": weight}, {"pause": {}})]
    chat.turn(chat.status()["stable"]["revision"], tpot=TOKEN)
    long = {"stream": True, "max_tokens": TOKENS}
    with chat.users(rate=None, max_tokens=1) as users, chat.users(rate=STREAMS, **long) as streams:
        measure(users, "0 %", requests)
        chat.change("two", *steps[:-2], {"weight": 100, "for": "1h"}, tpot=TOKEN)
        for number, weight in enumerate(WEIGHTS, 1):
            users.phase = f"to {weight} %"
            if number > 1:
                chat.say("promote", f"step@{2 * number - 2}")
            chat.wait_at(weight)
            time.sleep(SETTLE)
            measure(users, f"{weight} %", requests)
        users.phase = "home"
        chat.say("abort")
        chat.wait("Reverted", 60)
        time.sleep(SETTLE)
        measure(users, "0 % again", requests)
    for phase in filter(None, users.tally.phases()):
        line(users, phase)
    failures = ", ".join(f"{number} x {word}" for word, number in users.tally.failures.items()) or "none"
    print(f"  {users.tally.sent:,} requests, failures: {failures}")
    print(f"  {streams.tally.sent:,} streams of {TOKEN * TOKENS:g} s each, cut: {streams.tally.failed}")
    return Counter(
        sent=users.tally.sent, failed=users.tally.failed, streams=streams.tally.sent, cut=streams.tally.failed
    )


def measure(users, phase, requests):
    """Let so many users be answered in this phase."""
    users.phase = phase
    goal = users.tally.sent + requests
    while users.tally.sent < goal:
        time.sleep(0.01)


def line(users: Load, phase):
    answers = [answer for answer in users.tally.answers if answer.phase == phase]
    failed = sum(bool(answer.failure) for answer in answers)
    if phase.startswith(("to", "home")):
        print(f"  {phase:>9} {len(answers):>7} {'':>29} {failed:>4}")
        return
    canary = sum(answer.revision == "two" for answer in answers)
    low, high = (max(0, 100 * share) for share in interval(canary, len(answers)))
    observed = f"{100 * canary / len(answers):.2f} %"
    print(f"  {phase:>9} {len(answers):>7} {observed:>9}   {low:5.2f} - {high:5.2f} {failed:>10}")


# ── aborts and drift ──────────────────────────────────────────────────────────────────────────────────────


def aborts(chat, count):
    """Milliseconds from the annotation accepted to the route written, and to the canary's last answer.

    Every second time somebody else writes the route first.
    """
    undone = []

    def drifted(number, weights):
        if number % 2 == 0:  # two corrections are ten seconds apart
            undone.append(drift(chat, weights))

    report("abort accepted", [timed(chat, "abort", number, drifted) for number in range(count)])
    row("foreign weight -> written back", undone)


def kills(chat, count, operator, silent):
    """The same for the kill switch, also where nobody answers and where nobody was there a moment ago."""
    hangs = {"analysis": {"prometheus": {"address": silent.address, "timeout": "30s"}, "interval": "1s"}}

    def restarted(*_):
        operator.kill()
        operator.start()

    for what, before, spec in (
        ("kill accepted", None, {}),
        ("kill, Prometheus hangs", None, hangs),
        ("kill, operator restarted", restarted, {"analysis": None}),
    ):
        report(what, [timed(chat, "kill", number, before, spec) for number in range(count)])


def timed(chat, order, number, before=None, spec=None):
    """Milliseconds until the route is written, and until the canary's last answer."""
    name = f"trial-{order}-{len(chat.status()['history'])}-{time.monotonic_ns() % 10**6}"
    chat.change(name, {"weight": 50, "for": "1h"}, spec=spec)
    chat.wait_at(50)
    with chat.weights() as weights, chat.users(rate=ABORT_RATE) as users:
        time.sleep(SETTLE)
        if before is not None:
            before(number, weights)
        chat.say(order, f"true#{number}")
        clock, said = time.monotonic(), time.time()
        chat.wait("Reverted" if order == "abort" else "Killed", 60)
        time.sleep(SETTLE)
    if order == "kill":
        chat.say("kill", None)
        chat.wait("Reverted", 60)
    last = max(answer.at + answer.total for answer in users.tally.answers if answer.revision == name)
    return 1000 * (weights.when(0) - clock), 1000 * (last - said)


def report(what, times):
    row(f"{what} -> route written", [written for written, _ in times])
    row(f"{what} -> last canary answer", [served for _, served in times])


def row(what, numbers):
    print(f"  {what:<46} ms: {spread(numbers)}, n = {len(numbers)}", flush=True)


class Silent:
    """A Prometheus that takes every question and answers none."""

    def __enter__(self):
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        return self

    def __exit__(self, *_):
        self.listening.close()


def drift(chat, weights):
    """Milliseconds until the split that somebody else wrote is ours again."""
    chat.rewrite(10, 90)
    accepted = time.monotonic()
    chat.until(lambda: weights.series[-2:] == [90, 50])
    return 1000 * (weights.when(50) - accepted)


def spread(numbers):
    return f"median {statistics.median(numbers):.0f} ({min(numbers):.0f} - {max(numbers):.0f})"


if __name__ == "__main__":
    sys.exit(main())
