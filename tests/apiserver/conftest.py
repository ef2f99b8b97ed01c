"""Fixtures of this tier: the resource's own endpoint, a rollout that exists, an operator that runs."""

import pytest

from modelrollout.api.names import GROUP, RESOURCE, VERSION
from tests.apiserver.manifests import GOOD, LIVING
from tests.apiserver.process import Operator
from tests.apiserver.scene import Scene
from tests.apiserver.world import World
from tests.bed import pieces


@pytest.fixture(scope="module")
def modelrollouts(control_plane):
    """HTTP client for the ModelRollouts of the default namespace, as strict as kubectl is."""
    with control_plane.client() as http:
        http.base_url = f"{control_plane.url}/apis/{GROUP}/{VERSION}/namespaces/default/{RESOURCE}"
        http.params = {"fieldValidation": "Strict"}
        yield http


@pytest.fixture(scope="module")
def living(modelrollouts):
    """A stored rollout named LIVING, with the spec of GOOD."""
    response = modelrollouts.post("", json=GOOD | {"metadata": {"name": LIVING}})
    assert response.status_code == 201, response.text
    yield response.json()
    modelrollouts.delete(LIVING).raise_for_status()


@pytest.fixture(scope="session")
def plane_with_routes(control_plane):
    """The control plane with the kinds of Gateway API and Istio, and a world in which pods become ready."""
    control_plane.apply(pieces.file("gateway-api"), pieces.file("istio-crds.yaml"))
    with World(control_plane) as world:
        yield control_plane
    assert world.errors == []


@pytest.fixture(scope="module")
def operator(plane_with_routes, tmp_path_factory):
    """One operator for the whole cluster, shared by the tests of a file."""
    folder = tmp_path_factory.mktemp("operator")
    with Operator(plane_with_routes, folder, identity=f"pod-{folder.name}") as operator:
        operator.wait_ready()
        yield operator


@pytest.fixture
def scene(plane_with_routes, fresh_namespace):
    """An empty namespace for one rollout and its objects."""
    with plane_with_routes.client() as http:
        yield Scene(http, fresh_namespace)
