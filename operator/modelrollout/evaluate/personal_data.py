"""Personal data in a text: mail addresses, telephone numbers, cards, accounts and numbers of persons.

Patterns find candidates, checksums and numbering plans decide: an order number is no credit card. Names and
postal addresses need a language model and are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b")
_SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_EXAMPLES = ("example.com", "example.org", "example.net")
_LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Item:
    kind: str
    text: str
    start: int


def found(text: str, region: str = "US") -> list[Item]:
    """All personal data in the text; `region` is where telephone numbers without a country code are from."""
    text = text[:_LONGEST]
    return sorted(
        [*_mails(text), *_cards(text), *_ibans(text), *_persons(text), *_phones(text, region)], key=_start
    )


def redacted(text: str, region: str = "US") -> str:
    """The text with each item replaced by its kind, such as [mail]."""
    for item in sorted(found(text, region), key=_start, reverse=True):
        text = text[: item.start] + f"[{item.kind}]" + text[item.start + len(item.text) :]
    return text


def _start(item: Item) -> int:
    return item.start


def _mails(text: str) -> Iterator[Item]:
    for match in _MAIL.finditer(text):
        if not match.group().lower().endswith(_EXAMPLES):
            yield Item("mail", match.group(), match.start())


def _cards(text: str) -> Iterator[Item]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if luhn.is_valid(digits) and digits[0] in "3456" and len(set(digits)) > 1:
            yield Item("card", match.group(), match.start())


def _ibans(text: str) -> Iterator[Item]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        if iban.is_valid(match.group()):
            yield Item("iban", match.group(), match.start())


def _persons(text: str) -> Iterator[Item]:
    from stdnum.us import ssn

    for match in _SSN.finditer(text):
        if ssn.is_valid(match.group()):
            yield Item("ssn", match.group(), match.start())


def _phones(text: str, region: str) -> Iterator[Item]:
    import phonenumbers

    taken = [range(item.start, item.start + len(item.text)) for item in (*_cards(text), *_ibans(text))]
    for match in phonenumbers.PhoneNumberMatcher(text, region):
        if not any(match.start in span for span in taken):
            yield Item("phone", match.raw_string, match.start)
