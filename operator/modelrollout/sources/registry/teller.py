"""Has MLflow say what a rollout wishes: reads first, and writes only what differs."""

from __future__ import annotations

import structlog

from modelrollout.registry.address import ARTIFACTS, Version
from modelrollout.registry.wishes import Account, Name, Wishes
from modelrollout.sources.registry.api import NotThere, Unanswered
from modelrollout.sources.registry.mlflow import Entry, Mlflow

log = structlog.get_logger()

FIRST_TRUCE, LONGEST_TRUCE = 60.0, 3600.0
"""Seconds until an alias is set again that somebody has moved away twice; each time twice as long."""


class Disputed(Unanswered):
    """Somebody else moves the alias too."""


class Teller:
    """Has a registry say what is wished, and remembers what it says. To forget that costs only requests."""

    def __init__(self) -> None:
        self._sealed: set[tuple[Version, tuple[str, str]]] = set()
        self._named: Name | None = None
        """What the alias was seen to name."""
        self._lost = 0
        """How often in a row somebody has moved it away."""
        self._lost_at = 0.0
        self.moved: Version | None = None
        """Where somebody had moved the alias before it was last set again."""

    async def tell(self, mlflow: Mlflow, wanted: Wishes, now: float) -> None:
        """Have all of this said; `now` in seconds of a clock that only counts.

        Raises:
            Unanswered: something of it is not said yet.
        """
        self.moved = None
        for each in wanted.accounts:
            if (each.version, each.seal) not in self._sealed:
                await self._give_account(mlflow, each)
                self._sealed.add((each.version, each.seal))
        if wanted.name is not None:
            await self._name(mlflow, wanted.name, now)

    # ── the alias ───────────────────────────────────────────────────────────────────────────────

    async def _name(self, mlflow: Mlflow, wanted: Name, now: float) -> None:
        found = await mlflow.behind(wanted.version.name, wanted.alias, stages=False)
        if found is not None and found.version == wanted.version:
            self._held(wanted, now)
            return
        if self._named == wanted:
            self._lost, self._lost_at, self._named = self._lost + 1, now, None
            self.moved = found.version if found is not None else None
        if self._lost > 1 and now < self._lost_at + _truce(self._lost):
            where = found.version.uri if found is not None else "no version"
            raise Disputed(
                f"the alias {wanted.alias} names {where}, {wanted.version.uri} serves, and somebody has "
                f"moved the alias {self._lost} times; give each rollout of one model its own championAlias"
            )
        await mlflow.name(wanted.alias, wanted.version)
        self._named = wanted

    def _held(self, wanted: Name, now: float) -> None:
        if (self._named is not None and self._named != wanted) or now > self._lost_at + LONGEST_TRUCE:
            self._lost = 0
        self._named = wanted

    # ── how trials ended ────────────────────────────────────────────────────────────────────────

    async def _give_account(self, mlflow: Mlflow, wanted: Account) -> None:
        """Say what became of the version. One that is gone from the registry needs no account."""
        try:
            entry = await mlflow.version(wanted.version)
        except NotThere:
            log.info("not in the registry any more", version=wanted.version.uri)
            return
        key, value = wanted.seal
        if entry.tags.get(key) == value:
            return
        await self._keep(mlflow, entry, wanted)
        for name, text in wanted.tags.items():
            if entry.tags.get(name) != text:
                await mlflow.tag(wanted.version, name, text)
        await mlflow.tag(wanted.version, key, value)

    async def _keep(self, mlflow: Mlflow, entry: Entry, wanted: Account) -> None:
        """The record as a file of the version's run, where it has one and the server takes files."""
        if not entry.run:
            return
        try:
            root = await mlflow.artifacts(entry.run)
            if root.startswith(f"{ARTIFACTS}/") and not root.startswith(f"{ARTIFACTS}//"):
                path = f"{root.removeprefix(ARTIFACTS).strip('/')}/{wanted.path}"
                await mlflow.keep(path, wanted.record.encode())
        except Unanswered as error:
            if not 400 <= error.status < 500:
                raise
            log.info("no record kept in the registry", version=wanted.version.uri, why=str(error))


def _truce(lost: int) -> float:
    return min(FIRST_TRUCE * 2.0 ** (lost - 2), LONGEST_TRUCE)
