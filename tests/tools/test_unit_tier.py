"""What the unit tier loads before its first test."""

import subprocess
import sys

from tests.bed.folders import REPOSITORY

LONG_TO_LOAD = {
    "apprise",
    "matplotlib",
    "mlflow",
    "pandas",
    "sacrebleu",
    "sklearn",
    "tokenizers",
    "wordllama",
}
COLLECT = f"""
import sys, pytest
ended = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "tests/unit"])
print("loaded:", *sorted({LONG_TO_LOAD} & sys.modules.keys()))
sys.exit(ended)
"""


def test_no_test_of_the_unit_tier_loads_at_its_head_what_takes_long_to_load():
    ran = subprocess.run(
        [sys.executable, "-c", COLLECT],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert ran.stdout.splitlines()[-1].split() == ["loaded:"], "import it where it is used"
