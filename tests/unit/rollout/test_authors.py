"""The writer of a command is read from the API server's own book of it."""

from __future__ import annotations

from typing import Any

from modelrollout.rollout.authors import authors
from modelrollout.rollout.commands import Said
from modelrollout.rollout.model import Author

ABORT = "modelrollout.io/abort"
SAID = [Said("abort", "true", "true")]


def entry(manager: str, operation: str, time: str, *annotations: str) -> dict[str, Any]:
    owned = {f"f:{name}": {} for name in annotations}
    return {
        "manager": manager,
        "operation": operation,
        "time": time,
        "fieldsV1": {"f:metadata": {"f:annotations": owned}},
    }


def test_the_last_writer_of_the_annotation_is_named_and_how_it_writes() -> None:
    fields = [
        entry("flux", "Apply", "2026-11-27T10:00:05Z", ABORT, "team"),
        entry("kubectl-annotate", "Update", "2026-11-27T10:00:00Z", ABORT),
        entry("helm", "Update", "2026-11-27T10:00:09Z", "team"),
    ]
    assert authors({"metadata": {"managedFields": fields}}, SAID) == {ABORT: Author("flux", applies=True)}


def test_without_the_book_nobody_is_named() -> None:
    assert authors({"metadata": {}}, SAID) == {}
    assert authors({"metadata": {"managedFields": [{"manager": "x", "operation": "Update"}]}}, SAID) == {}
