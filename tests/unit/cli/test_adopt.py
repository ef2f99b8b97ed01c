"""A Deployment that serves already becomes a ModelRollout that takes its route and Service."""

import pytest

from modelrollout.api.admission import refusals
from modelrollout.cli.adopt import adopted
from modelrollout.cli.conversion.converted import Unconvertible, Wishes
from tests.unit.cli.foreign_manifests import NO_WISHES, deployment

SERVICE = {"metadata": {"name": "chat"}, "spec": {"selector": {"app": "chat"}}}


ROUTE = {
    "kind": "HTTPRoute",
    "metadata": {"name": "web"},
    "spec": {
        "rules": [
            {"name": "both", "backendRefs": [{"name": "chat"}, {"name": "other"}]},
            {"name": "completions", "backendRefs": [{"name": "chat", "port": 80}]},
        ]
    },
}


VIRTUAL = {
    "kind": "VirtualService",
    "metadata": {"name": "mesh"},
    "spec": {"http": [{"name": "llm", "route": [{"destination": {"host": "chat.test.svc.cluster.local"}}]}]},
}


@pytest.mark.parametrize(
    ("routes", "traffic"),
    [
        ([ROUTE], {"gateway": {"httpRoute": "web", "rule": "completions"}}),
        ([VIRTUAL], {"istio": {"virtualService": "mesh", "route": "llm"}}),
        ([], {}),
    ],
)
def test_adopt_finds_the_service_and_the_named_rule(routes, traffic):
    made = adopted(deployment(), [SERVICE], routes, Wishes(prometheus="http://prometheus:9090"))
    assert refusals(made.manifest) == []
    assert made.spec["traffic"] == {"service": "chat", **traffic}
    assert made.spec["replicas"] == 4


@pytest.mark.parametrize("services", [[], [SERVICE, SERVICE | {"metadata": {"name": "chat-too"}}]])
def test_adopt_refuses_to_guess_the_service(services):
    with pytest.raises(Unconvertible, match="one Service that clients call was expected"):
        adopted(deployment(), services, [], NO_WISHES)
