"""What the API server says no to for ever, and what it will take in a moment."""

import json

import pytest

from modelrollout.cluster.errors import ClusterError, Refused, Unreachable, error_for

FORBIDDEN = 'services "chat-stable" is forbidden: '
NEW_KIND = (
    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
    'modelrollout.io/v1alpha1 Kind ModelRollout: no matches for kind "ModelRollout"'
)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, FORBIDDEN + NEW_KIND, Unreachable),
        (403, FORBIDDEN + "User cannot patch resource", Refused),
        (422, "spec.ports: Required value", Refused),
        (503, "the server is shutting down", Unreachable),
    ],
)
def test_a_kind_that_was_installed_a_moment_ago_is_no_refusal(
    status: int, message: str, kind: type[ClusterError]
) -> None:
    body = {"kind": "Status", "message": message, "details": {"causes": [{}]}}
    error = error_for(status, "patch services/chat-stable in ml", json.dumps(body).encode())
    assert type(error) is kind
