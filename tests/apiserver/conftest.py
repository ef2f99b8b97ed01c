"""Fixtures of this tier: the resource's own endpoint, and a rollout that exists."""

import pytest

from modelrollout.api.crd import GROUP, PLURAL, VERSION
from tests.apiserver.manifests import GOOD, LIVING


@pytest.fixture(scope="module")
def modelrollouts(control_plane):
    """HTTP client for the ModelRollouts of the default namespace, as strict as kubectl is."""
    with control_plane.client() as http:
        http.base_url = f"{control_plane.url}/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}"
        http.params = {"fieldValidation": "Strict"}
        yield http


@pytest.fixture(scope="module")
def living(modelrollouts):
    """A stored rollout named LIVING, with the spec of GOOD."""
    response = modelrollouts.post("", json=GOOD | {"metadata": {"name": LIVING}})
    assert response.status_code == 201, response.text
    yield response.json()
    modelrollouts.delete(LIVING).raise_for_status()
