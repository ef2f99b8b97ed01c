"""One operator for all tests here, and rollouts installed ahead of the tests that will take them."""

import collections
import contextlib
import time

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import KIND
from tests.bed.plugin import namespace_on
from tests.cluster.e2e.chat import Chat

AHEAD = 6
"""Rollouts that load while tests before theirs run."""


@pytest.fixture(scope="session")
def operator(cluster, tmp_path_factory):
    """The operator as a process of this machine, serving the whole cluster."""
    with Operator(cluster, tmp_path_factory.mktemp("operator"), identity="e2e") as operator:
        operator.wait_ready()
        yield operator


class Stock:
    """Rollouts in the order in which tests will want them, a few of them installed in advance."""

    def __init__(self, cluster, http, kinds):
        self._cluster, self._http = cluster, http
        self._coming, self._made = collections.deque(kinds), collections.deque()
        self._namespaces = contextlib.ExitStack()

    def take(self, kind):
        self._fill()
        chat = next(chat for chat in self._made if chat.kind == kind)
        self._made.remove(chat)
        self._fill()
        chat.wait("Stable", 60)
        return chat

    def _fill(self):
        while self._coming and len(self._made) < AHEAD:
            namespace = self._namespaces.enter_context(namespace_on(self._cluster))
            chat = Chat(self._cluster, self._http, namespace, self._coming.popleft())
            chat.apply()
            self._made.append(chat)

    def close(self):
        """Delete what is left, and let the operator give the routes back while it still runs."""
        self._namespaces.close()
        deadline = time.monotonic() + 60
        while self._http.get("/apis/modelrollout.io/v1alpha1/modelrollouts").json()["items"]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)


@pytest.fixture(scope="session")
def stock(request, cluster, operator):
    kinds = [
        item.callspec.params["chat"]
        for item in request.session.items
        if "chat" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    with cluster.client() as http:
        stock = Stock(cluster, http, kinds)
        yield stock
        stock.close()


@pytest.fixture
def chat(request, stock):
    """An installed rollout behind a route of the kind that the test names."""
    chat = stock.take(request.param)
    yield chat
    if chat.get(KIND) is not None:
        chat.delete()
