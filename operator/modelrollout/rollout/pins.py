"""What the model's address was found to stand for is written down with what follows from it."""

from __future__ import annotations

from modelrollout.api.reasons.others import MODEL_PINNED
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View


def take_pin(view: View) -> Change | None:
    pin, known = view.observed.pin, view.status.pinned
    if pin == known:
        return None
    news = pin is not None and (known is None or (pin.uri, pin.version) != (known.uri, known.version))
    notes = [note(MODEL_PINNED, uri=pin.uri, version=pin.version)] if news and pin is not None else []
    return view.change(*notes, pinned=pin)
