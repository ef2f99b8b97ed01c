"""What is different from the revision before, for people: "args: + --max-num-seqs=1; model unchanged"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 400
LONGEST_FORM = 32_768
"""Characters of a stored form. A spec that needs more is told apart by its hash alone."""
_LONGEST_VALUE = 80
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
_TOLD = ("registered", "uri", "revision", "servedName", "image", "port", "server")
"""Fields whose values are shown; for the others the text only says that they changed."""

Form = Mapping[str, Any]


def stored(form: Form) -> str | None:
    """The form as it is kept with its Deployment; None when it is too long to be kept."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= LONGEST_FORM else None


def difference(before: str, after: Form) -> str:
    """From a stored form to another one; empty when the stored one is not understood."""
    try:
        old = json.loads(before)
    except ValueError:
        return ""
    if not isinstance(old, dict):
        return ""
    parts = [*_sections(old, after)]
    if parts and old.get("model") == after.get("model"):
        parts.append("model unchanged")
    return "; ".join(parts)[:LONGEST]


def _sections(old: Form, new: Form) -> Iterator[str]:
    for section in ("model", "runtime"):
        before, after = _fields(old, section), _fields(new, section)
        for field in sorted(before.keys() | after.keys()):
            if before.get(field) != after.get(field):
                name = f"model {field}" if section == "model" else field
                yield f"{name}: {_change(field, before.get(field), after.get(field))}"
    if old.get("prompts") != new.get("prompts"):
        yield "prompts: changed"


def _fields(form: Form, section: str) -> Mapping[str, Any]:
    found = form.get(section)
    return found if isinstance(found, Mapping) else {}


def _change(field: str, before: Any, after: Any) -> str:
    if field in ("args", "command", "servedNames"):
        return _listed([_shown(each) for each in before or ()], [_shown(each) for each in after or ()])
    if field in ("env", "adapters"):
        return _entries(_by_name(before), _by_name(after))
    if field in _TOLD:
        return f"{_shown(before) if before else 'none'} → {_shown(after) if after else 'none'}"
    return "changed"


def _listed(before: list[str], after: list[str]) -> str:
    """What came and what went; a list in another order has only that to say."""
    came = [f"+ {each}" for each in after if each not in before]
    went = [f"- {each}" for each in before if each not in after]
    return ", ".join(came + went) or "in another order"


def _by_name(entries: Any) -> dict[str, Any]:
    return {str(each.get("name")): each for each in entries or () if isinstance(each, Mapping)}


def _entries(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Names alone: values of variables may be secrets."""
    listed = _listed([*before], [*after]) if before.keys() != after.keys() else ""
    other = [f"{name} changed" for name in after if name in before and before[name] != after[name]]
    return ", ".join([*([listed] if listed else []), *other]) or "in another order"


def _shown(value: Any) -> str:
    """An argument without what it may keep secret."""
    text = str(value)
    name, equals, _ = text.partition("=")
    if equals and _SECRET.search(name):
        text = f"{name}=…"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
