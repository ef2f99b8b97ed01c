"""MLflow's registry by its REST API: https://mlflow.org/docs/latest/api_reference/rest-api.html"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from modelrollout.registry.address import Version
from modelrollout.sources.registry.api import Api, NotThere, Unanswered

_API = "/api/2.0/mlflow"
_STORED = "/api/2.0/mlflow-artifacts/artifacts"
STAGES = {"staging": "Staging", "production": "Production", "archived": "Archived"}
"""Before aliases there were stages; servers still have them."""


@dataclass(frozen=True)
class Entry:
    """A version as the registry has it."""

    version: Version
    run: str = ""
    """The run that it came from; empty: none."""
    ready: bool = True
    """Its registration is over."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Mlflow:
    """Every method raises Unanswered."""

    def __init__(self, api: Api) -> None:
        self._api = api

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def version(self, version: Version) -> Entry:
        query = {"name": version.name, "version": version.number}
        return _entry(await self._api.ask("GET", f"{_API}/model-versions/get", params=query))

    async def behind(self, name: str, alias: str, *, stages: bool = True) -> Entry | None:
        """The version that has the alias, or the newest in the stage of that name; None: no version has.

        Args:
            stages: whether a stage is looked at where there is no such alias.

        Raises:
            NotThere: there is no such registered model.
        """
        query = {"name": name, "alias": alias}
        try:
            return _entry(await self._api.ask("GET", f"{_API}/registered-models/alias", params=query))
        except Unanswered as error:
            if not error.lasting:
                raise
            await self._api.ask("GET", f"{_API}/registered-models/get", params={"name": name})
        if not stages or (stage := STAGES.get(alias.lower())) is None:
            return None
        body = {"name": name, "stages": [stage]}
        found = await self._api.ask("POST", f"{_API}/registered-models/get-latest-versions", json=body)
        versions = found.get("model_versions") or []
        return _entry({"model_version": versions[0]}) if versions else None

    async def source(self, version: Version) -> str:
        """Where its weights lie."""
        query = {"name": version.name, "version": version.number}
        found = await self._api.ask("GET", f"{_API}/model-versions/get-download-uri", params=query)
        return str(found.get("artifact_uri") or "")

    async def artifacts(self, run: str) -> str:
        """Where a run keeps its files."""
        found = await self._api.ask("GET", f"{_API}/runs/get", params={"run_id": run})
        return str(((found.get("run") or {}).get("info") or {}).get("artifact_uri") or "")

    # ── writing: each call may be made again ────────────────────────────────────────────────────

    async def name(self, alias: str, version: Version) -> None:
        """Give the alias to this version."""
        body = {"name": version.name, "alias": alias, "version": version.number}
        await self._api.ask("POST", f"{_API}/registered-models/alias", json=body)

    async def tag(self, version: Version, key: str, value: str) -> None:
        body = {"name": version.name, "version": version.number, "key": key, "value": value}
        await self._api.ask("POST", f"{_API}/model-versions/set-tag", json=body)

    async def keep(self, path: str, content: bytes) -> None:
        """Store a file below the server's own artifacts."""
        headers = {"Content-Type": "application/octet-stream"}
        await self._api.ask("PUT", f"{_STORED}/{quote(path)}", content=content, headers=headers)


def _entry(found: Mapping[str, Any]) -> Entry:
    body = found.get("model_version")
    if not isinstance(body, Mapping) or not (body.get("name") and body.get("version")):
        raise NotThere("the registry answers without a model version")
    tags = body.get("tags") or []
    return Entry(
        Version(str(body["name"]), str(body["version"])),
        run=str(body.get("run_id") or ""),
        ready=body.get("status", "READY") == "READY",
        tags={str(each["key"]): str(each.get("value", "")) for each in tags if "key" in each},
    )
