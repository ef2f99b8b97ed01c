"""Text from others, safe to show: nothing in it moves a cursor, starts a line or hides what follows."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with control and invisible characters written out, such as `\x1b`, `\n` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _written_out(each) for each in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
