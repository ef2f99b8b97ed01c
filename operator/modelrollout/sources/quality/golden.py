"""A golden set in a file: checked once from end to end, then read case by case in any order, never whole."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from modelrollout.api.mistakes import Mistaken, readable
from modelrollout.evaluate.cases import (
    MOST_CASES,
    Case,
    Format,
    build,
    csv_rows,
    from_json,
    from_row,
    guessed,
)
from modelrollout.evaluate.policy import Dataset

_MOST_MISTAKES = 20


class Golden:
    """The cases of one file. Raises Mistaken, with up to 20 sentences, when the file cannot be used."""

    def __init__(self, path: Path, dataset: Dataset | None = None) -> None:
        self.path = path
        self._columns = dataset.columns if dataset else {}
        self._form: Format | None = dataset.format if dataset else None
        self.redaction = dataset.redaction if dataset else None
        self._header = ""
        self._offsets, self._lengths, self._numbers = array("Q"), array("I"), array("I")
        self.tags: Counter[str] = Counter()
        self.greatest_weight = 0.0
        self.labelled = array("I")
        """The cases that hold answers which people have marked."""
        self.digest = ""
        if self.redaction is not None:
            self.redaction.text("")  # a missing library is one mistake, and not one of each line
        self._check()
        self._file = path.open("rb")

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Case]:
        return (self.case(index) for index in range(len(self)))

    def case(self, index: int) -> Case:
        self._file.seek(self._offsets[index])
        return self._read(self._file.read(self._lengths[index]), self._numbers[index])

    def close(self) -> None:
        self._file.close()

    def _check(self) -> None:
        wrong: list[str] = []
        seen: dict[bytes, int] = {}
        whole = hashlib.sha256()
        with readable(self.path):
            for offset, number, data in self._records():
                whole.update(data)
                try:
                    case = self._read(data, number)
                except Mistaken as error:
                    wrong += error.sentences
                    if len(wrong) >= _MOST_MISTAKES:
                        break
                    continue
                self._note(case, seen, number, wrong)
                self._offsets.append(offset)
                self._lengths.append(len(data))
                self._numbers.append(number)
                if len(self) > MOST_CASES:
                    raise Mistaken(
                        [f"{self.path.name}: There are more than {MOST_CASES:,} cases; take a sample."]
                    )
        if wrong:
            raise Mistaken(wrong[:_MOST_MISTAKES])
        if not len(self):
            raise Mistaken([f"{self.path.name}: There is no case in it."])
        self.digest = whole.hexdigest()[:16]

    def _note(self, case: Case, seen: dict[bytes, int], number: int, wrong: list[str]) -> None:
        key = hashlib.blake2b(case.id.encode(), digest_size=8).digest()
        if key in seen:
            wrong.append(f'{self._place(number)}: The id "{case.id}" stands in line {seen[key]} already.')
        seen[key] = number
        self.tags.update(set(case.tags))
        self.greatest_weight = max(self.greatest_weight, case.weight)
        if case.judged:
            self.labelled.append(len(self._offsets))

    def _records(self) -> Iterator[tuple[int, int, bytes]]:
        """(offset, line, bytes) of each record; a quoted cell of a CSV may go over several lines."""
        with self.path.open("rb") as file:
            offset = number = started = 0
            gathered = b""
            for line in file:
                number += 1
                if not gathered:
                    started = number
                    begin = offset
                offset += len(line)
                gathered += line
                if number == 1 and self._form is None:
                    self._form = guessed(self.path.name, line.decode("utf-8-sig", errors="replace"))
                if self._form == "csv" and gathered.count(b'"') % 2:
                    continue
                record, gathered = gathered, b""
                if self._form == "csv" and not self._header:
                    self._header = self._text(record, started)
                elif record.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield begin, started, record
            if gathered:
                raise Mistaken([f"{self._place(started)}: A quote is opened and never closed."])

    def _read(self, data: bytes, number: int) -> Case:
        text, place = self._text(data, number), self._place(number)
        if self._form == "csv":
            rows = csv_rows(iter([self._header, text]))
            return self._cleaned(from_row(next(rows), self._columns, place), place)
        return self._cleaned(from_json(text, place, self._form or "cases"), place)

    def _cleaned(self, case: Case, place: str) -> Case:
        if self.redaction is None:
            return case
        whole = case.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return build(self.redaction.clean(whole), place)

    def _text(self, data: bytes, number: int) -> str:
        try:
            return data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise Mistaken([f"{self._place(number)}: It is not UTF-8: {error.reason}."]) from error

    def _place(self, number: int) -> str:
        return f"{self.path.name}, line {number}"
