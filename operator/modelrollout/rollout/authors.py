"""Finds the writer of each command on a rollout, from the API server's own book of it:
metadata.managedFields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelrollout.rollout.commands import Said
from modelrollout.rollout.model import Author


def authors(resource: Mapping[str, Any], commands: Iterable[Said]) -> dict[str, Author]:
    """Annotation -> who wrote it last."""
    entries = sorted(resource["metadata"].get("managedFields") or (), key=lambda each: each.get("time", ""))
    found = {}
    for said in commands:
        for entry in entries:
            metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
            if f"f:{said.annotation}" in (metadata.get("f:annotations") or {}):
                applies = entry.get("operation") == "Apply"
                found[said.annotation] = Author(str(entry.get("manager", "")), applies)
    return found
