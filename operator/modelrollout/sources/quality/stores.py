"""Where reports are sent: what takes files by HTTP PUT, object stores with S3's signatures, and MLflow."""

from __future__ import annotations

import os
from datetime import datetime
from urllib.parse import quote

import httpx

from modelrollout.evaluate.report_stores import MlflowStore, PutStore, S3Store, Store
from modelrollout.evaluate.reports.bundle import Bundle
from modelrollout.sources.quality.mlflow_runs import keep_run
from modelrollout.sources.quality.not_kept import NotKept, shown
from modelrollout.sources.quality.s3 import Keys, said, signed

TIMEOUT = 60.0
"""Seconds for each file."""


async def keep(store: Store, bundle: Bundle, now: datetime) -> str:
    """Store a report; where it is, for people. Raises NotKept."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as http:
            if isinstance(store, MlflowStore):
                return await keep_run(http, store, bundle, now)
            return await _keep_files(http, store, bundle, now)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotKept(f"The report could not be sent to {_place(store)}: {error}.") from error


async def _keep_files(
    http: httpx.AsyncClient, store: PutStore | S3Store, bundle: Bundle, now: datetime
) -> str:
    for name, body in bundle.files.items():
        address = f"{_base(store)}/{quote(f'{bundle.name}/{name}')}"
        answer = await http.put(address, content=body, headers=_headers(store, address, body, now))
        if not answer.is_success:
            status = answer.status_code
            raise NotKept(f"{shown(address)} answered {status} to the report: {said(answer.text)}")
    return f"{_place(store)}/{bundle.name}"


def _place(store: Store) -> str:
    return store.mlflow if isinstance(store, MlflowStore) else shown(_base(store))


def _base(store: PutStore | S3Store) -> str:
    if isinstance(store, PutStore):
        return store.put.rstrip("/")
    bucket, _, prefix = store.s3.removeprefix("s3://").partition("/")
    endpoint = (store.endpoint or f"https://s3.{store.region}.amazonaws.com").rstrip("/")
    return f"{endpoint}/{quote('/'.join(filter(None, (bucket, prefix.strip('/')))))}"


def _headers(store: PutStore | S3Store, address: str, body: bytes, now: datetime) -> dict[str, str]:
    if isinstance(store, PutStore):
        return {"authorization": _secret(store.authorization_env)} if store.authorization_env else {}
    pair = _secret("AWS_ACCESS_KEY_ID"), _secret("AWS_SECRET_ACCESS_KEY")
    return signed(address, body, Keys(*pair, store.region, os.environ.get("AWS_SESSION_TOKEN")), now)


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise NotKept(f"The environment variable {name}, which storing the report needs, is not set.")
    return value
