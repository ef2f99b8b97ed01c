"""Looks up what an address stands for."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.registry.address import HUB, Alias, Branch, Question, weights_at
from modelrollout.sources.registry.api import Api, NotThere, Unanswered
from modelrollout.sources.registry.hub import commit
from modelrollout.sources.registry.mlflow import Entry, Mlflow


@dataclass(frozen=True)
class Found:
    """What a question's address stands for, as in `Pin`."""

    version: str
    source: str
    revision: str | None


async def look_up(api: Api, question: Question, known: Found | None = None) -> Found:
    """`known`: what was found before, whose weights need not be looked for again.

    Raises:
        NotThere: there is no such thing, or no pod can load it; the sentence says what to do.
        Unanswered: the registry did not say.
    """
    asked = question.asked
    if isinstance(asked, Branch):
        sha = await commit(api, asked)
        return Found(f"{HUB}{asked.repository}@{sha}", HUB + asked.repository, sha)
    mlflow = Mlflow(api)
    if isinstance(asked, Alias):
        entry = await _behind(mlflow, asked)
    else:
        entry = await mlflow.version(asked)
    if known is not None and known.version == entry.version.uri:
        return known
    if not entry.ready:
        raise Unanswered(f"{entry.version.uri} is still being registered")
    source = await mlflow.source(entry.version)
    weights = weights_at(source)
    if weights is None:
        raise NotThere(
            f"the weights of {entry.version.uri} lie at {source[:200] or 'no address'}, from where no pod "
            "can load them: register the version with a source that begins with s3://, gs://, pvc:// or "
            "hf:// (hf://org/name@commit, not a branch), or let MLflow serve its artifacts"
        )
    return Found(entry.version.uri, *weights)


async def _behind(mlflow: Mlflow, asked: Alias) -> Entry:
    entry = await mlflow.behind(asked.name, asked.alias)
    if entry is None:
        raise NotThere(
            f"{asked.name} has no alias {asked.alias}, and no version is in a stage of that name: give the "
            "alias to a version in MLflow; the rollout goes on by itself then"
        )
    return entry
