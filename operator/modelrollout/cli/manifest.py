"""The one ModelRollout in a file of YAML or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from modelrollout.api.names import KIND


class Unreadable(Exception):
    """The sentence for the person who gave the file."""


def read(file: str) -> dict[str, Any]:
    """The one ModelRollout among the file's documents; `-` is standard input. Raises Unreadable."""
    found = _rollouts(file)
    if len(found) != 1:
        raise Unreadable(f"{file} holds {len(found)} ModelRollouts; give a file that holds exactly one.")
    return found[0]


def every(file: str) -> list[dict[str, Any]]:
    """All ModelRollouts of the file. Raises Unreadable, also when the file holds no ModelRollout."""
    found = _rollouts(file)
    if not found:
        raise Unreadable(f"{file} holds no ModelRollout.")
    return found


def documents(file: str) -> list[dict[str, Any]]:
    """All objects of the file, and of the Lists in it. Raises Unreadable."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        read = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise Unreadable(f"{file} is no YAML: {error}.") from error
    listed = [item for each in read if each.get("kind") == "List" for item in each.get("items") or ()]
    return [each for each in (*read, *listed) if isinstance(each, dict) and each.get("kind") != "List"]


def _rollouts(file: str) -> list[dict[str, Any]]:
    return [each for each in documents(file) if each.get("kind") == KIND]
