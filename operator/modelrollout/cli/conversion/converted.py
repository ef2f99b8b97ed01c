"""What a conversion gives, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelrollout.api.names import API_VERSION, KIND

Body = Mapping[str, Any]


class Unconvertible(Exception):
    """There is no ModelRollout for it. The text begins with the field that has no equal."""


@dataclass(frozen=True)
class Wishes:
    """What the person gives by flags because the manifests do not say it."""

    model: str | None = None
    """Address of the model, such as hf://org/name."""
    image: str | None = None
    prometheus: str | None = None


@dataclass
class Converted:
    """A ModelRollout that is being made, and what is to be known of it."""

    name: str
    namespace: str | None
    spec: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> dict[str, Any]:
        meta = {"name": self.name, **({"namespace": self.namespace} if self.namespace else {})}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": self.spec}

    def note(self, place: str, text: str) -> None:
        """Add a note about a field of the object that is converted."""
        self.notes.append(f"{place}: {text}")

    def no_equal(self, where: str, given: Body, known: Sequence[str]) -> None:
        """Add a note for each field that has no equal here."""
        for name in given:
            if name not in known:
                self.note(f"{where}.{name}", "has no equal and is left out.")


def begun(body: Body) -> Converted:
    """A conversion of this object, with its name."""
    meta = body.get("metadata") or {}
    return Converted(str(meta.get("name", "")), meta.get("namespace"))


def found(documents: Sequence[Body], kind: str, name: str) -> Body | None:
    """The object of this kind and name among the manifests."""
    for each in documents:
        if each.get("kind") == kind and (each.get("metadata") or {}).get("name") == name:
            return each
    return None
