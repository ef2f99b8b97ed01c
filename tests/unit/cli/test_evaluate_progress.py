"""Whoever watches an evaluation sees how far it is and how long it takes at most."""

import io
import json

import pytest

from modelrollout.cli.evaluate_progress import ProgressBar
from modelrollout.sources.quality.run import Progress
from tests.unit.evaluate.test_trial import ONE, trial


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(asked, total=300, seconds=30.0, fresh=None):
    return Progress(asked, total, seconds, asked if fresh is None else fresh, trial(ONE, cases=total))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (progress(60), "[#####...................] 60/300 cases, at most 2 min 00 s left"),
        (progress(150, fresh=75), "[############............] 150/300 cases, at most 1 min 00 s left"),
        (progress(150, fresh=0), "[############............] 150/300 cases"),
        (progress(300), "[########################] 300/300 cases"),
    ],
)
def test_a_terminal_has_a_bar_with_an_estimate_from_the_cases_of_this_process(given, shown):
    out = Terminal()
    bar = ProgressBar(out, quiet=False, summary=None)
    bar.told(given)
    assert out.getvalue() == f"\x1b[K{shown}\r"
    bar.end()
    assert out.getvalue().endswith("\r\n")


def test_a_log_has_lines_and_the_summary_says_that_it_runs(tmp_path):
    out, summary = io.StringIO(), tmp_path / "summary.json"
    bar = ProgressBar(out, quiet=False, summary=summary)
    bar.told(progress(60))
    assert out.getvalue().endswith(", at most 2 min 00 s left\n")
    assert json.loads(summary.read_text())["running"] is True


def test_quiet_is_quiet(tmp_path):
    out = io.StringIO()
    bar = ProgressBar(out, quiet=True, summary=None)
    bar.begin((), 300, 0)
    bar.told(progress(60))
    bar.end()
    assert out.getvalue() == ""
