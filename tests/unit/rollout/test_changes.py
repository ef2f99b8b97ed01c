"""Status changes are typed: what mypy cannot check cannot be relied on in the brain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from modelrollout.api.spec import Wire
from modelrollout.api.status import RevisionStatus, Status, StepStatus, WeightStatus
from modelrollout.rollout import changes

ROOT = Path(__file__).parents[3]

WRONG = """
from modelrollout.api.status import Status, StepStatus
from modelrollout.rollout.changes import but
from modelrollout.rollout.drain import leaving
from modelrollout.rollout.view import Change, View


def misspelt(view: View) -> Change:
    return view.change(phse="Stable")  # wrong


def unknown_phase(view: View) -> Change:
    return view.change(phase="NoSuchPhase")  # wrong


def misspelt_in_a_step(step: StepStatus) -> StepStatus:
    return but(step, started="now")  # wrong


def wrong_type(status: Status) -> Status:
    return but(status, draining="abc")  # wrong


def right(view: View) -> Change:
    return view.change(phase="Stable", phase_since=view.at, **leaving(view, view.previous))
"""


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        (changes.StatusChanges, Status),
        (changes.StepChanges, StepStatus),
        (changes.WeightChanges, WeightStatus),
        (changes.RevisionChanges, RevisionStatus),
    ],
)
def test_a_change_may_name_every_field_of_its_model_with_the_types_of_the_model(
    typed: Any, model: type[Wire]
) -> None:
    fields = {name: hint for name, hint in get_type_hints(model).items() if name in model.model_fields}
    assert get_type_hints(typed) == fields


def test_mypy_finds_a_misspelt_field_and_a_phase_that_does_not_exist(tmp_path: Path) -> None:
    snippet = tmp_path / "wrong_changes.py"
    snippet.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(snippet)]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {int(line.split(":")[1]) for line in run.stdout.splitlines() if ": error: " in line}
    wrong = {number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, run.stdout + run.stderr
