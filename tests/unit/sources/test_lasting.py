"""How long the control's requests take, out of whichever histogram says it."""

from array import array

import pytest

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.recipe import Moment
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.packs.catalogue import arrivals, durations, resolve
from modelrollout.api import analysis as spec
from modelrollout.sources.looks import LookSource
from modelrollout.sources.question import Question

UNTIL = 36_000.0
TIMES = array("d", (UNTIL - 3600 + 15 * n for n in range(250)))
OURS = {"namespace": "ml", "rollout": "chat", "revision": "old", "pod": "a", "instance": "a"}
ISTIO = {"reporter": "source", "destination_service": "chat-stable.ml.svc.cluster.local", "pod": "gw"}


def histogram(name, labels, buckets):
    """Ever growing counters: so many requests at each scrape up to each edge."""
    return [
        Series(
            {**labels, "__name__": name, "le": edge}, TIMES, array("d", (n * i for i in range(len(TIMES))))
        )
        for edge, n in buckets.items()
    ]


UPS = [Series({**OURS, "__name__": "up"}, TIMES, array("d", [1.0] * len(TIMES)))]
VLLM = histogram("vllm:e2e_request_latency_seconds_bucket", OURS, {"5": 9.0, "30": 10.0, "+Inf": 10.0})
MESH = histogram(
    "istio_request_duration_milliseconds_bucket", ISTIO, {"5000": 9.0, "60000": 10.0, "+Inf": 10.0}
)


class Server:
    def __init__(self, series):
        self.series = series

    async def samples(self, selector, at, window):
        return tuple(each for each in self.series if each.family in selector)

    async def close(self):
        pass


async def known(series, use):
    asked = (spec.Metric(use=use),)
    arms = Arms("ml", "chat", "chat", stable="old", canary="new")
    question = Question("http://p", 1.0, resolve(asked), arms, 0.0, arrivals(asked), durations(asked))
    source = LookSource(connect=lambda *_: Server(series))
    found = await source.lasting(question, UNTIL)
    await source.close()
    return found


@pytest.mark.parametrize(
    ("series", "use", "seconds"),
    [
        (VLLM, "vllm/success-rate", 22.5),
        (MESH, "istio/success-rate", 40.3),
        (VLLM + MESH, "istio/success-rate", 40.3),
        (VLLM + MESH, "http/success-rate", 22.5),
        ([], "http/success-rate", None),
    ],
    ids=["the pods'", "milliseconds of a proxy", "the longest of both", "what nobody judges", "none"],
)
async def test_the_time_to_a_requests_end_is_found_in_a_histogram(series, use, seconds):
    assert (await known(UPS + series, use)).get(Moment.END) == pytest.approx(seconds, abs=0.1)
