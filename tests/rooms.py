"""The rooms of the package: files, lines, and what each imports. `make rooms`, `make rooms ARGS=v0.1.0`.

A room is a folder of `modelrollout`, or one of the files beside them. An import points backwards where its
target, in the end, imports the room that it starts from.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import grimp

PACKAGE = "modelrollout"
ROOT = Path(__file__).parents[1]


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def arrows(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    found = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if room_of(module) != room_of(imported):
                found[room_of(module)].add(room_of(imported))
    return found


def reached(start: str, imports: Mapping[str, set[str]]) -> set[str]:
    """The rooms that the room imports, in one step or in several."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = imports.get(ahead.pop(), set()) - seen
        seen |= new
        ahead += new
    return seen


def backwards(imports: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    return [
        (room, other)
        for room, others in sorted(imports.items())
        for other in sorted(others)
        if room in reached(other, imports)
    ]


def measured(source: Path) -> str:
    """The table for the package below `source`."""
    sys.path.insert(0, str(source))
    imports = arrows(grimp.build_graph(PACKAGE, cache_dir=None))
    lines: dict[str, list[int]] = defaultdict(list)
    for file in sorted((source / PACKAGE).rglob("*.py")):
        room = room_of(".".join(file.relative_to(source).with_suffix("").parts))
        lines[room].append(len(file.read_text("utf-8").splitlines()))
    rows = [f"{'room':12} {'files':>5} {'lines':>6} {'longest':>7}  imports"]
    for room in sorted(lines, key=lambda each: (len(reached(each, imports)), each)):
        of = lines[room]
        rows.append(f"{room:12} {len(of):5} {sum(of):6} {max(of):7}  {', '.join(sorted(imports[room]))}")
    every = [count for counts in lines.values() for count in counts]
    rows.append(f"{'all':12} {len(every):5} {sum(every):6} {max(every):7}")
    wrong = [f"{room} -> {other}" for room, other in backwards(imports)]
    between = sum(map(len, imports.values()))
    rows.append(f"{between} arrows between rooms, backwards: {', '.join(wrong) or 'none'}")
    return "\n".join(rows)


def main(revisions: list[str]) -> None:
    if not revisions:
        print(measured(ROOT / "operator"))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ["git", "-C", str(ROOT), "archive", revisions[0], "operator"]
        archive = subprocess.run(command, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        print(measured(Path(folder) / "operator"))


if __name__ == "__main__":
    main(sys.argv[1:])
