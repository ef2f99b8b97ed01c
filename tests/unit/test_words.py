"""docs/words.md: a name that the glossary gives in backticks exists in the code or in the CRD."""

import re

import pytest

from tests.bed.folders import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "words.md").read_text("utf-8")
SOURCE = REPOSITORY / "operator" / "modelrollout"
NAMES = sorted(set(re.findall(r"`([^`]+)`", PAGE)) - {"this type"})


@pytest.fixture(scope="module")
def words():
    """Every word of the operator's source and of the CRD."""
    files = [*SOURCE.rglob("*.py"), REPOSITORY / "crds" / "modelrollouts.yaml"]
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text("utf-8")))


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name])
def test_a_file_of_the_glossary_exists(name):
    assert (SOURCE / name).exists()


def test_a_name_of_the_glossary_exists(words):
    assert [name for name in NAMES if "/" not in name and name not in words] == []


def test_each_row_is_a_word_a_sentence_and_where_the_code_has_it():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Word |")]
    assert len(rows) > 40
    for row in rows:
        word, meaning, where = (cell.strip() for cell in row.strip("|").split("|"))
        assert word, row
        assert where.startswith("`"), row
        assert meaning.endswith("."), row


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_the_glossary_is_found_from_where_newcomers_read(page):
    assert "words.md" in (REPOSITORY / page).read_text("utf-8")
