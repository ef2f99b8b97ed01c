"""A rollout's own Secret is read only where the administrator lets the operator, and never shown."""

import asyncio
import base64

import pytest

from modelrollout.cluster.errors import Refused, Unreachable
from modelrollout.engine.secrets import secrets_of
from modelrollout.sources.access import Credentials
from modelrollout.sources.provider import NotAsked


class Cluster:
    """Answers one question."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def get(self, ref, namespace):
        self.asked.append((ref.resource, ref.name, namespace))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def secret(**keys):
    return {"data": {key: base64.b64encode(value).decode() for key, value in keys.items()}}


def test_what_is_in_the_secret_says_who_asks():
    cluster = Cluster(secret(token=b"t0ken\n", tenant=b"ml", other=b"x"))
    assert asyncio.run(secrets_of(cluster)("ml", "thanos")) == Credentials(token="t0ken", tenant="ml")
    assert cluster.asked == [("secrets", "thanos", "ml")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "There is no Secret thanos in namespace ml"),
        (Refused("forbidden"), "chart's value prometheus.secrets"),
        (Unreachable("hunter2"), "cannot be read now"),
        (secret(token=b"\xff\xfe"), "holds bytes"),
        ({"data": {"token": "hunter2"}}, "holds bytes"),
    ],
)
def test_a_secret_that_cannot_be_used_holds_the_rollout_and_says_why(answer, said):
    with pytest.raises(NotAsked) as error:
        asyncio.run(secrets_of(Cluster(answer))("ml", "thanos"))
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)
