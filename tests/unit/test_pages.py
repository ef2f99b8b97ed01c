"""What the pages for developers point to exists, and a decision that was replaced says by which."""

import re

import pytest

from tests.bed.folders import REPOSITORY

SOURCE = REPOSITORY / "operator" / "modelrollout"
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
TESTS = (REPOSITORY / "tests" / "README.md").read_text("utf-8")
DECISIONS = REPOSITORY / "docs" / "decisions"
REPLACES = re.compile(r"Replaces[^[]*?\[[^]]*]\(([\w-]+\.md)\)")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(\w+(?:/\w*)*(?:\.py|/))`", ARCHITECTURE))))
def test_a_file_that_the_architecture_names_exists(path):
    assert (SOURCE / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(\w+/[\w/]*(?:\.py)?)`", TESTS))))
def test_a_file_that_the_page_of_the_tests_names_exists(path):
    assert (REPOSITORY / path).exists() or (REPOSITORY / "tests" / path).exists()


def test_the_page_of_the_tests_names_each_world():
    tests = REPOSITORY / "tests"
    files = [*tests.rglob("*world*.py"), *tests.rglob("stage.py")]
    worlds = [str(path.relative_to(tests)) for path in files if not path.name.startswith("test_")]
    assert [path for path in worlds if f"`{path}`" not in TESTS] == []


def test_the_architecture_names_each_room():
    rooms = [file.parent.name for file in SOURCE.glob("*/__init__.py")]
    assert [room for room in rooms if f"`{room}/`" not in ARCHITECTURE] == []


def test_a_decision_that_was_replaced_points_to_the_one_that_replaced_it():
    replaced = [
        (old, new.name) for new in DECISIONS.glob("*.md") for old in REPLACES.findall(new.read_text("utf-8"))
    ]
    assert replaced
    for old, new in replaced:
        assert "Superseded" in (DECISIONS / old).read_text("utf-8")
        assert new in (DECISIONS / old).read_text("utf-8")


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_link_between_pages_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
