"""Reading JSON that people write: every field by name and type, nothing unknown, and errors with a place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class Malformed(ValueError):
    """The data is not what it should be; the message says where, what was found and what was expected."""


_REQUIRED: Any = object()


class Shape:
    """One JSON object on its way to being read: fields are taken by name, `done` refuses what is left."""

    def __init__(self, data: Any, place: str) -> None:
        if not isinstance(data, Mapping):
            raise Malformed(f"{place} is {_named(data)}; an object was expected.")
        self.place = place
        self._fields = dict(data)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def done(self) -> None:
        if self._fields:
            unknown = ", ".join(f'"{name}"' for name in self._fields)
            raise Malformed(f"{self.place} has {unknown}, which nothing here is called.")

    def _take(self, name: str, default: Any) -> Any:
        if name in self._fields:
            found = self._fields.pop(name)
            return default if found is None and default is not _REQUIRED else found
        if default is _REQUIRED:
            raise Malformed(f'{self.place} lacks "{name}".')
        return default

    def _at(self, name: str) -> str:
        return f"{self.place}: {name}" if self.place != "the file" else name

    def number(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._take(name, default)
        return found if found is default else _number(found, self._at(name))

    def whole(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._take(name, default)
        if found is default:
            return found
        if isinstance(found, bool) or not isinstance(found, int):
            raise Malformed(f"{self._at(name)} is {_named(found)}; a whole number was expected.")
        return found

    def flag(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._take(name, default)
        if found is not default and not isinstance(found, bool):
            raise Malformed(f"{self._at(name)} is {_named(found)}; true or false was expected.")
        return found

    def text(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._take(name, default)
        if found is not default and not isinstance(found, str):
            raise Malformed(f"{self._at(name)} is {_named(found)}; a text was expected.")
        return found

    def choice(self, name: str, choices: Sequence[str], default: Any = _REQUIRED) -> Any:
        found = self.text(name, default)
        if found is not default and found not in choices:
            raise Malformed(f'{self._at(name)} is "{found}"; it is one of {", ".join(choices)}.')
        return found

    def numbers(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._list(name, default)
        if found is default:
            return found
        return tuple(_number(item, f"{self._at(name)}[{i}]") for i, item in enumerate(found))

    def pairs(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._list(name, default)
        if found is default:
            return found
        for i, item in enumerate(found):
            if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
                raise Malformed(f"{self._at(name)}[{i}] is {_named(item)}; a pair of numbers was expected.")
        place = self._at(name)
        return tuple(tuple(_number(x, f"{place}[{i}]") for x in item) for i, item in enumerate(found))

    def shape(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._take(name, default)
        return found if found is default else Shape(found, self._at(name))

    def shapes(self, name: str, default: Any = _REQUIRED) -> Any:
        found = self._list(name, default)
        if found is default:
            return found
        return [Shape(item, f"{self._at(name)}[{i}]") for i, item in enumerate(found)]

    def _list(self, name: str, default: Any) -> Any:
        found = self._take(name, default)
        if found is not default and not isinstance(found, list):
            raise Malformed(f"{self._at(name)} is {_named(found)}; a list was expected.")
        return found


def _number(found: Any, place: str) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Malformed(f"{place} is {_named(found)}; a number was expected.")
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Malformed(f"{place} is {found}; a finite number was expected.")
    return number


def _named(found: Any) -> str:
    match found:
        case None:
            return "null"
        case str():
            return f'the text "{found}"'
        case Mapping():
            return "an object"
        case list():
            return "a list"
    return str(found).lower() if isinstance(found, bool) else str(found)
