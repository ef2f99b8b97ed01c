"""Hugging Face's hub, or a mirror of it: which commit a branch stands for."""

from __future__ import annotations

import re
from urllib.parse import quote

from modelrollout.registry.address import Branch
from modelrollout.sources.registry.api import Api, NotThere, Unanswered

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


async def commit(api: Api, branch: Branch) -> str:
    """The commit.

    Raises:
        NotThere: there is no such repository or branch, or only for those who may see it.
        Unanswered: the hub did not say.
    """
    if branch.is_commit:
        return branch.name
    path = f"/api/models/{quote(branch.repository)}/revision/{quote(branch.name, safe='')}"
    try:
        found = await api.ask("GET", path, params={"expand": "sha"})
    except NotThere as error:
        raise NotThere(
            f"{branch.repository} has no branch, tag or commit {branch.name}, or there is no such "
            "repository: write one that there is, and give a token in registry.auth.secret if it is private"
        ) from error
    sha = found.get("sha")
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        raise Unanswered(f"the answer about {branch.repository} names no commit")
    return sha
