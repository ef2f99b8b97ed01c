"""The one ModelRollout in a file of YAML or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml


class Unreadable(Exception):
    """The sentence for the person who gave the file."""


def read(file: str) -> dict[str, Any]:
    """The one ModelRollout among the file's documents; `-` is standard input. Raises Unreadable."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise Unreadable(f"{file} is no YAML: {error}.") from error
    found = [doc for doc in documents if isinstance(doc, dict) and doc.get("kind") == "ModelRollout"]
    if len(found) != 1:
        raise Unreadable(f"{file} holds {len(found)} ModelRollouts; give a file that holds exactly one.")
    return dict(found[0])
