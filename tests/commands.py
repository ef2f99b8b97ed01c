"""The commands that README and docs name, as they stand there."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.bed.folders import REPOSITORY

PAGES = (
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "tests" / "bed" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
)
PROGRAMS = ("kubectl", "helm", "make", "modelrollout", "python", "python3", "kind", "pip")
NOT_RUN = "not-run: "
"""What the info string of a block has when no test runs it; the reason follows."""


@dataclass(frozen=True)
class Block:
    page: Path
    info: str
    text: str

    @property
    def commands(self) -> list[str]:
        """One per line, without its comment."""
        lines = (line.partition(" #")[0].strip() for line in self.text.splitlines())
        return [line for line in lines if line]

    @property
    def run(self) -> bool:
        return self.info == "sh"


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(page, info, text) for info, text in found]


def inline(page: Path) -> list[str]:
    """Commands in the running text and in tables."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    quoted = (code.strip() for code in re.findall(r"`([^`]+)`", text))
    return [code for code in quoted if " " in code and code.split()[0] in PROGRAMS]
