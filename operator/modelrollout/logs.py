"""One log for everything: our structlog lines and kopf's stdlib records, as JSON or for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

QUIET = {"aiohttp.access": logging.WARNING, "kopf": logging.WARNING, "asyncio": logging.WARNING}
"""kopf tells of each watch event; our own lines say what was decided."""


def configure(form: str = "json", level: str = "info") -> None:
    """Set up logging of the whole process. Call once, first."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _flatten_reference,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow={"k8s_ref"}), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, at_least in QUIET.items():
        logging.getLogger(name).setLevel(max(at_least, root.level))


def _flatten_reference(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """kopf's object loggers carry a nested reference; ours carry `rollout`. Make them one wording."""
    reference = event.pop("k8s_ref", None)
    if isinstance(reference, dict):
        event.setdefault("rollout", f"{reference.get('namespace')}/{reference.get('name')}")
        event.setdefault("kind", reference.get("kind"))
    return event
