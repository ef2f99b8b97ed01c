"""Where a policy has the reports kept: one model for each kind of store."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from modelrollout.evaluate.wire import Written


class PutStore(Written):
    """Takes each file of a report by HTTP PUT below an address."""

    put: str = Field(pattern=r"^https?://[^\s?#]+$")
    authorization_env: str | None = None
    """The name of the environment variable that holds the header Authorization."""


class S3Store(Written):
    """An object store with S3's API. Its keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""

    s3: str = Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]+(/[^\s]*)?$")
    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]+$")
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+/?$")
    """Of a store that is not Amazon's, such as http://minio:9000."""


class MlflowStore(Written):
    """An experiment of MLflow, which gets a run for each evaluation.

    Its credentials are in the variables that MLflow's own client reads: MLFLOW_TRACKING_TOKEN, or
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """

    mlflow: str = Field(pattern=r"^mlflow://\S(.*\S)?$")
    address: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+$")
    """Of the tracking server; without it, the one in MLFLOW_TRACKING_URI."""

    @property
    def experiment(self) -> str:
        return self.mlflow.removeprefix("mlflow://")


Store = PutStore | S3Store | MlflowStore
_BY_FIELD: dict[str, type[Store]] = {"put": PutStore, "s3": S3Store, "mlflow": MlflowStore}
STORES = tuple(_BY_FIELD.values())


def _store(given: Any) -> Any:
    if isinstance(given, str):
        scheme = given.partition("://")[0]
        given = {"put" if scheme in ("http", "https") else scheme: given}
    named = [name for name in _BY_FIELD if name in given] if isinstance(given, dict) else []
    if len(named) != 1:
        raise ValueError(
            "a report is stored by `put: https://…`, in `s3: s3://bucket/prefix` or in "
            "`mlflow: mlflow://experiment`, one of them"
        )
    return _BY_FIELD[named[0]].model_validate(given)


AnyStore = Annotated[SerializeAsAny[Store], BeforeValidator(_store)]
