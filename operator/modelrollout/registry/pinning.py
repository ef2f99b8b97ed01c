"""Replaces an address that has to be looked up by what it stands for."""

from __future__ import annotations

from modelrollout.api.registry import Pin, Resolved
from modelrollout.api.spec import Spec
from modelrollout.registry.address import Question, question_of


def pin_for(question: Question, known: Pin | None, found: Pin | None) -> Pin | None:
    """What the address stands for now; None while nobody has looked it up.

    Args:
        known: as status has it.
        found: as the registry said last, in this life of the operator.
    """
    stored = known if known is not None and _answers(known, question) else None
    fresh = found if found is not None and _answers(found, question) else None
    if stored is None or fresh is None or not question.moves or fresh.version == stored.version:
        return stored or fresh
    return fresh


def _answers(pin: Pin, question: Question) -> bool:
    return (pin.uri, pin.registry) == (question.uri, question.registry)


def pinned(spec: Spec, pin: Pin | None) -> Spec:
    """The spec with the weights that its model's address stands for."""
    question = question_of(spec)
    if question is None or pin is None:
        return spec
    fields = {name: getattr(spec.model, name) for name in type(spec.model).model_fields}
    model = Resolved.model_construct(
        **{
            **fields,
            "uri": pin.source,
            "revision": pin.revision,
            "version": pin.version,
            "registry": pin.registry,
            "secret": question.secret,
        }
    )
    return spec.model_copy(update={"model": model})
