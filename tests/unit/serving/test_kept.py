"""A Deployment that somebody has deleted comes back as it was."""

from modelrollout.serving.deployment import deployment
from modelrollout.serving.kept import deployment_of, kept_copy
from tests.unit.serving.given import REVISION, ROLLOUT, spec


def test_the_deployment_made_of_a_copy_is_the_one_that_was_kept():
    body = deployment(ROLLOUT, spec(runtime={"args": ["--max-model-len=8192"]}), REVISION, 4, "chat-prompts")
    assert deployment_of(ROLLOUT, REVISION, kept_copy(ROLLOUT, REVISION, body), 4) == body


def test_it_gets_the_pods_that_are_needed_now():
    body = deployment(ROLLOUT, spec(), REVISION, 4, None)
    assert deployment_of(ROLLOUT, REVISION, kept_copy(ROLLOUT, REVISION, body), 7)["spec"]["replicas"] == 7


def test_the_copy_goes_with_the_rollout_and_is_found_by_its_labels():
    copy = kept_copy(ROLLOUT, REVISION, deployment(ROLLOUT, spec(), REVISION, 4, None))
    assert copy["metadata"]["ownerReferences"][0]["uid"] == ROLLOUT["metadata"]["uid"]
    assert copy["metadata"]["labels"]["modelrollout.io/revision"] == REVISION
