"""Plays a scene with the operator in memory, in virtual time and without its log."""

import contextlib
import logging

import structlog

from tests.shared.memory_operator import MemoryOperator
from tests.shared.virtual_time import run


def played(play, **how):
    """Play one scene; `how` as `MemoryOperator` takes it."""

    async def scene():
        async with MemoryOperator(**how) as operator:
            return await play(operator)

    with quiet():
        return run(scene())


@contextlib.contextmanager
def quiet():
    """To write a log of all the lives takes longer than to live them."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
