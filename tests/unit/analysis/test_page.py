"""The page on metrics is what the packs say."""

import pytest

from modelrollout.analysis.packs.catalogue import known_metrics
from tests.bed.folders import REPOSITORY
from tests.packs_page import page

PAGE = REPOSITORY / "docs" / "metrics.md"


def test_the_page_is_written_from_the_packs():
    text = PAGE.read_text("utf-8")
    assert text == page(text), "run `make pages`"


def test_each_metric_has_its_row():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == known_metrics()
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_a_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="needs the lines"):
        page("# Metrics")
