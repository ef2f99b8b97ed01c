"""`python -m tests.load --url http://127.0.0.1:8080 --rate 50 --seconds 60`: steady traffic, seen as it goes.

A line a second while it runs; a table, and with `--json FILE` a summary, at the end. Ends with 1 when any
request failed.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from tests.load.http import Target
from tests.load.load import Load
from tests.load.tally import quantile, shares


def main() -> int:
    options = arguments()
    target = Target(
        options.url,
        model=options.model,
        host=options.host_header,
        headers=dict(pair.split(":", 1) for pair in options.header),
        stream=options.stream,
        prompt=options.prompt,
        max_tokens=options.max_tokens,
        keep_alive=not options.fresh_connections,
    )
    load = Load(
        target,
        rate=options.rate,
        users=options.users,
        seconds=options.seconds,
        count=options.count,
        cohort_header=options.cohort_header,
    )
    load.phase = options.phase
    asyncio.run(watched(load, quiet=options.quiet))
    print(load.tally.table())
    if options.json:
        Path(options.json).write_text(json.dumps(load.tally.summary(), indent=1))
    return 1 if load.tally.failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.load", description=__doc__)
    parser.add_argument("--url", required=True, help="http://address:port of the gateway or Service")
    parser.add_argument("--host-header", help="what the route goes by")
    parser.add_argument("--model", default="chat")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--cohort-header", help="send 00–99 in turn in this header, as for sticky users")
    parser.add_argument("--rate", type=float, help="requests per second; without: as fast as answers come")
    parser.add_argument("--users", type=int, default=16, help="most requests at once")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, default=1_000_000, help="most requests in all")
    parser.add_argument("--stream", action="store_true", help="server-sent events")
    parser.add_argument("--prompt", default="Hello")
    parser.add_argument("--max-tokens", type=int, default=8)
    parser.add_argument("--fresh-connections", action="store_true", help="a connection per request")
    parser.add_argument("--phase", default="", help="name of this run in the table")
    parser.add_argument("--json", metavar="FILE", help="where the summary goes")
    parser.add_argument("--quiet", action="store_true", help="no line a second")
    return parser.parse_args()


async def watched(load: Load, quiet: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    printer = loop.create_task(print_each_second(load)) if not quiet else None
    await load.run()
    if printer:
        printer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await printer


async def print_each_second(load: Load) -> None:
    seen, seconds = 0, 0
    while True:
        await asyncio.sleep(1)
        seconds += 1
        recent, seen = load.tally.answers[seen:], load.tally.sent
        split = "  ".join(f"{name} {100 * share:.1f} %" for name, share in sorted(shares(recent).items()))
        p95 = quantile(sorted(answer.ttft for answer in recent if not answer.failure), 0.95)
        speed = f"first token p95 {1000 * p95:.0f} ms" if p95 is not None else "no answers"
        print(
            f"{seconds:4d} s  {len(recent):5d} req/s  failed {load.tally.failed:4d}  {speed}  {split}",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
