"""Docstrings, comments, pages and names of tests keep clear of turns of phrase that take a second reading."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed.folders import REPOSITORY

BEFORE = "for|of|than|by|to|from|with|as|because|but|and|or|so|if|when|where"
IS = r"(?:is|are|has|have|was|were|may|must|can|cannot)\b"
RIDDLES = {
    rf"(?:^|[.;:!?] |\b(?:{BEFORE}) )[Ww]ho\b(?![^.;]*\?)": "`who` without a noun before it: name it",
    r"\b(?:is|are|was|were|be) none\b(?! of)": "`is none`: say what is missing, or write `is not a …`",
    r"\b[Tt]old\b(?! apart)": "`told`: write what happens: shown, reported, asked for, called",
    r", for (?:it|they|there|nobody|no|this|these|he|she)\b": "`for`: write `because`",
    rf", for (?:the|an?|its|their|our|each) \w+ (?:(?!who|that|which)\w+ )?{IS}": "`for`: write `because`",
    r"\b[Nn]or (?:is|does|do|has|are) ": "an inverted `nor`: begin with the subject",
}
FOLDERS = ("operator/modelrollout", "tests", "docs", "charts", "examples")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "MAINTAINERS.md")


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            generated = path.parts[-2:-1] in (("__pycache__",), ("files",)) or ".cache" in path.parts
            if path.suffix in (".py", ".md", ".yaml", ".tpl") and not generated and path != Path(__file__):
                yield path
    yield from (REPOSITORY / page for page in PAGES)


def prose(path: Path) -> Iterator[str]:
    """What a file says in sentences, each paragraph on one line, without code in backticks."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        found = list(python(text))
    elif path.suffix == ".md":
        found = re.split(r"\n\s*\n|\n(?=\s*[-|#])", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    else:
        found = re.findall(r"(?:^|\s)# ?(.*)$", text, re.M)
    for each in found:
        yield re.sub(r"`[^`]*`", "`…`", " ".join(each.split()))


def python(text: str) -> Iterator[str]:
    """Docstrings, comments, and the names of tests as sentences."""
    yield from re.findall(r'"""(.*?)"""', text, re.S)
    yield from re.findall(r"^[^\"'\n]*# (.*)$", text, re.M)
    yield from (name.replace("_", " ") for name in re.findall(r"def (test_\w+)", text))


def riddles(text: str) -> list[str]:
    return [f"{advice}: …{text[max(found.start() - 40, 0) : found.end() + 30]}…"
            for pattern, advice in RIDDLES.items() if (found := re.search(pattern, text))]  # fmt: skip


def test_nothing_that_is_written_takes_a_second_reading():
    found = {
        f"{path.relative_to(REPOSITORY)}: {riddle}"
        for path in files()
        for text in prose(path)
        for riddle in riddles(text)
    }
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize(
    "text",
    [
        "One question for who asks the same.",
        "Who serves some namespaces need not list them all.",
        "The echo of our own write is none.",
        "The scrapes as they were told.",
        "It comes last, for it says that all is done.",
        "Read anew for each question, for the token may change.",
        "Nor is it worth a write.",
    ],
)
def test_such_a_turn_is_found(text):
    assert riddles(text)


@pytest.mark.parametrize(
    "text",
    [
        "Who leads?",
        "The person who must act reads it.",
        "None of them is ready; none of the pods answers.",
        "Two writers are told apart by their names.",
        "One of your own, for scorers that need more packages.",
        "A sentence, for the person who must act.",
    ],
)
def test_plain_sentences_are_left_alone(text):
    assert not riddles(text)
