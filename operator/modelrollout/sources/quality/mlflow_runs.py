"""An evaluation as a run of MLflow: its gates as metrics, its verdict as tags, its files as artifacts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from modelrollout.evaluate.report_stores import MlflowStore
from modelrollout.evaluate.reports.bundle import Bundle
from modelrollout.sources.quality.not_kept import NotKept, shown

_API, _FILES = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
_SERVED = "mlflow-artifacts:/"


async def keep_run(http: httpx.AsyncClient, store: MlflowStore, bundle: Bundle, now: datetime) -> str:
    """Make the run; where people find it. Raises NotKept and httpx' errors."""
    tracking = _Tracking(http, _address(store))
    try:
        return await tracking.keep(store.experiment, bundle, int(1000 * now.timestamp()))
    except (KeyError, TypeError) as error:
        raise NotKept(f"{tracking.name} does not answer as MLflow does: there is no {error}.") from error


class _Tracking:
    """One tracking server."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self._http, self._address, self.name = http, address, shown(address)
        self._who = _credentials()

    async def keep(self, experiment: str, bundle: Bundle, at: int) -> str:
        number = await self._experiment(experiment)
        tags = {**bundle.words, "mlflow.note.content": bundle.note}
        made = await self._post(
            "runs/create", experiment_id=number, run_name=bundle.name, start_time=at, tags=_pairs(tags)
        )
        info = made["run"]["info"]
        run = str(info["run_id"])
        try:
            metrics = [{"key": k, "value": v, "timestamp": at, "step": 0} for k, v in bundle.numbers.items()]
            await self._post("runs/log-batch", run_id=run, metrics=metrics)
            await self._keep_files(str(info["artifact_uri"]), bundle.files, run)
        except (NotKept, httpx.HTTPError):
            with contextlib.suppress(NotKept, httpx.HTTPError):  # the run is not left as one that goes on
                await self._end(run, "FAILED", at)
            raise
        await self._end(run, "FINISHED" if bundle.judged else "FAILED", at)
        return f"{self.name}/#/experiments/{number}/runs/{run}"

    async def _end(self, run: str, state: str, at: int) -> None:
        await self._post("runs/update", run_id=run, status=state, end_time=at)

    async def _experiment(self, name: str) -> str:
        """Its number; one that is not there is made."""
        asked = {"experiment_name": name}
        answer = await self._ask("GET", f"{_API}/experiments/get-by-name", params=asked, absent=True)
        if answer is not None:
            return str(answer["experiment"]["experiment_id"])
        return str((await self._post("experiments/create", name=name))["experiment_id"])

    async def _keep_files(self, root: str, files: Mapping[str, bytes], run: str) -> None:
        if not root.startswith(_SERVED) or root.startswith(f"{_SERVED}/"):
            raise NotKept(
                f"Run {run} in MLflow has the numbers and not the files: these belong to {shown(root)}, and "
                "the tracking server takes none for it. Start it with --serve-artifacts, or name a second "
                "store in `reports`."
            )
        folder = root.removeprefix(_SERVED).strip("/")
        for name, body in files.items():
            headers = {"content-type": "application/octet-stream"}
            await self._ask("PUT", f"{_FILES}/{quote(f'{folder}/{name}')}", content=body, headers=headers)

    async def _post(self, what: str, **body: object) -> dict[str, Any]:
        return await self._ask("POST", f"{_API}/{what}", json=body) or {}

    async def _ask(
        self, method: str, path: str, *, absent: bool = False, **how: Any
    ) -> dict[str, Any] | None:
        """The answer's JSON; None where there is no such thing and `absent` allows it. Raises NotKept."""
        headers = {**self._who[0], **how.pop("headers", {})}
        answer = await self._http.request(
            method, f"{self._address}{path}", headers=headers, auth=self._who[1], **how
        )
        found = _json(answer)
        if absent and answer.status_code == 404 and found.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return None
        if answer.is_success:
            return found
        if answer.status_code in (401, 403):
            raise NotKept(
                f"{self.name} asks for a sign-in ({answer.status_code}): set MLFLOW_TRACKING_TOKEN, or "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            )
        said = " ".join(str(found.get("message") or answer.text).split())[:200]
        raise NotKept(f"MLflow at {self.name} answered {answer.status_code} to the report: {said}")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _address(store: MlflowStore) -> str:
    address = store.address or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not address.startswith(("http://", "https://")):
        raise NotKept(
            f"The address of MLflow's server for {store.mlflow} is not given: write `address`, such as "
            "http://mlflow:5000, beside it, or set MLFLOW_TRACKING_URI to it."
        )
    return address.rstrip("/")


def _credentials() -> tuple[dict[str, str], httpx.BasicAuth | None]:
    """In the order in which MLflow's own client looks."""
    name, word, token = (
        os.environ.get(f"MLFLOW_TRACKING_{each}") for each in ("USERNAME", "PASSWORD", "TOKEN")
    )
    if name and word:
        return {}, httpx.BasicAuth(name, word)
    return ({"authorization": f"Bearer {token}"} if token else {}), None


def _pairs(given: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in given.items()]
