"""What is wrong with a file that a person wrote, as sentences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError


class Mistaken(ValueError):
    """The file cannot be used. `sentences` holds one sentence for each mistake."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)


@contextmanager
def readable(path: object) -> Iterator[None]:
    """Raise Mistaken, with a sentence that names the file, where reading it fails in the block."""
    try:
        yield
    except OSError as error:
        raise Mistaken([f"{path}: It cannot be read: {error.strerror or error}."]) from error
    except UnicodeDecodeError as error:
        raise Mistaken([f"{path}: It is not UTF-8: {error.reason}."]) from error


def sentences(error: ValidationError, fields: Iterable[str] = ()) -> list[str]:
    """One sentence per mistake, each with its place. `fields` are the names that a misspelt one may mean."""
    known = sorted(set(fields))
    return [
        f"{_place(place) or 'the file'}: {_sentence(found, known)}"
        for place, found in _flat(error.errors(), ())
    ]


def _flat(errors: Iterable[Any], above: tuple[int | str, ...]) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Mistakes with their places; those inside of a part that was read by itself come with the part's."""
    for found in errors:
        place = (*above, *found["loc"])
        inner = found.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            yield from _flat(inner.errors(), place)
        else:
            yield place, found


def meant(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` when a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def _place(loc: Sequence[int | str]) -> str:
    """`scorers[2].kind`, without the names that pydantic gives to branches of a union."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and not part[0].isupper() and part not in _BRANCHES:
            text += f".{part}" if text else part
    return text


_BRANCHES = {"str", "int", "float", "bool", "list", "dict", "function-before", "function-after", "tuple"}


def _sentence(found: Any, known: Sequence[str]) -> str:
    kind, given = found["type"], found.get("input")
    if kind == "missing":
        return "This field is missing."
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        name = str(found["loc"][-1])
        return f'There is no field "{name}"{meant(name, known) or "."}'
    if kind == "json_invalid":
        return f"It is no JSON: {found['ctx']['error']}."
    if kind == "value_error":
        text = str(found["ctx"]["error"])
        text = text[0].upper() + text[1:]
        return text if text.endswith((".", "?")) else f"{text}."
    if kind.endswith("_type") or kind == "model_attributes_type":
        expected = _EXPECTED.get(kind, found["msg"].removeprefix("Input should be "))
        return f"{_short(given)} was given, {expected} is expected."
    return f"{found['msg'].removesuffix('.')}; {_short(given)} was given."


_EXPECTED = {
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "dataclass_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
