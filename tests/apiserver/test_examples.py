"""Everything under examples/ is accepted as it stands, by our CRD and by those of the routers it names."""

import pytest
import yaml

from modelrollout.analysis.packs import catalogue
from modelrollout.api.names import KIND
from modelrollout.api.spec import Spec
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.failure import BedError
from tests.bed.folders import REPOSITORY
from tests.bed.plugin import apply_our_crds, refuse

ROUTES = {"HTTPRoute", "VirtualService", "DestinationRule"}
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def with_routes():
    """A control plane that knows Gateway API and Istio objects too, where the bed has their CRDs."""
    with ControlPlane(controller_manager=False) as plane:
        apply_our_crds(plane)
        try:
            plane.apply(pieces.file("gateway-api"), pieces.file("istio-crds.yaml"))
            missing = None
        except BedError as error:
            missing = str(error)
        yield plane, missing


def objects(example):
    return [document for document in yaml.safe_load_all(example.read_text()) if document]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted_whole(with_routes, example):
    plane, missing = with_routes
    whole = objects(example)
    known = [item for item in whole if not missing or item["kind"] not in ROUTES]
    namespace = f"example-{example.stem}"
    plane.kubectl("create", "namespace", namespace)
    out = plane.kubectl(
        "apply", "--validate=strict", f"--namespace={namespace}", "-f", "-", stdin=yaml.safe_dump_all(known)
    )
    assert len(out.splitlines()) == len(known)
    if len(known) < len(whole):
        refuse(f"its routes were not checked: {missing}")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_brings_what_its_rollout_names(example):
    given = {(item["kind"], item["metadata"]["name"]) for item in objects(example)}
    rollouts = [Spec.model_validate(item["spec"]) for item in objects(example) if item["kind"] == KIND]
    assert rollouts
    for spec in rollouts:
        named = {("Service", spec.traffic.service)}
        if spec.traffic.gateway:
            named.add(("HTTPRoute", spec.traffic.gateway.http_route))
        if spec.traffic.istio:
            named.add(("VirtualService", spec.traffic.istio.virtual_service))
            if spec.traffic.istio.destination_rule:
                named.add(("DestinationRule", spec.traffic.istio.destination_rule))
        if spec.prompts:
            named.add(("ConfigMap", spec.prompts.config_map))
        assert named <= given


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_metrics_that_can_be_judged(example):
    for item in objects(example):
        if item["kind"] == KIND:
            analysis = Spec.model_validate(item["spec"]).analysis
            assert analysis is not None
            assert catalogue.problems(analysis.metrics) == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_what_it_shows(example):
    head = example.read_text().split("apiVersion")[0]
    assert "# Shows: " in head
    assert "# Needs: " in head
