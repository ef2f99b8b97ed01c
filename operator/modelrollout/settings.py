"""How one operator process runs: command line flags, each with a twin in the environment.

`--lease-name` is `MODELROLLOUT_LEASE_NAME`. Nothing here changes a rollout; that is what the
resource's spec is for.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from modelrollout.api.quantities import Duration, seconds
from modelrollout.api.transitions import Transition
from modelrollout.serving.evaluation import JobSettings, PodSettings
from modelrollout.serving.policy import Policy
from modelrollout.sources.access import Access


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    namespace: tuple[str, ...] = ()
    """Namespaces to serve; none: the whole cluster."""
    lease_namespace: str = "default"
    """Where the Lease lies; in a pod its own namespace."""
    lease_name: str = "modelrollout-operator"
    """Replicas with the same Lease are one operator; operators of different namespaces need their own."""
    identity: str = Field(min_length=1)
    """The holder that the Lease names. In a pod its name and uid, so that a restarted container leads again
    at once."""
    lease_duration: Duration = "15s"
    """A standby takes over a Lease that was not renewed for so long."""
    renew_deadline: Duration = "10s"
    """The leader stops writing when it could not renew for so long."""
    retry_period: Duration = "2s"
    """Pause between two renewals, or two attempts to take the Lease."""
    listen: str = Field(default="0.0.0.0:8080", pattern=r"^[^:]*:[0-9]+$")
    """Address of /metrics, /livez and /readyz."""
    log_format: Literal["json", "console"] = "json"
    """json for a collector, console for a terminal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written."""

    pod_policy: Policy = "any"
    """any: pod templates of rollouts may ask for what the cluster admits; baseline: they are refused host
    access, privileges, other service accounts, nodes and system priorities."""
    prometheus_allowed: tuple[str, ...] = ()
    """The only metrics servers that rollouts may name, as host or host:port, `*.` for any name below; none:
    all. Metadata services of machines are never asked."""
    prometheus_credentials: tuple[str, ...] = ()
    """ADDRESS=FOLDER: a mounted Secret whose keys (token, username, password, tenant, ca.crt) are used with
    this address, for every rollout that names it."""
    scalar_queries: Literal["allow", "refuse"] = "allow"
    """Whether rollouts may send PromQL of their own (`scalar`), which can read every series of the server."""

    notify_folder: str = ""
    """A mounted Secret whose keys (urls, webhook, webhook-key, ca.crt) say where messages about every rollout
    go. Without it only rollouts that name a Secret of their own send messages."""
    notify_when: tuple[Transition, ...] = ()
    """The kinds of transition that go there: began, entered, passed, promoted, leaving, reverted, waiting,
    troubled, noted; none: all but entered and noted."""
    notify_allowed: tuple[str, ...] = ()
    """Hosts, as host or host:port, `*.` for any name below, to which rollouts may send webhooks and mail;
    none: only to the well-known services that have one address for everybody."""

    alertmanager_listen: str = Field(default="", pattern=r"^([^:]*:[0-9]+)?$")
    """Address on which Alertmanager may post, at the path /alertmanager; none: nobody listens."""
    alertmanager_token: str = ""
    """A file with the bearer token that it must send."""
    alertmanager_repeat: Duration = "5m"
    """Its repeat_interval for this receiver. When nothing has come for so long, alerts from it are silent."""

    registry_allowed: tuple[str, ...] = ()
    """The only registries of models that rollouts may name, as host or host:port, `*.` for any name below;
    none: all. Metadata services of machines are never asked."""

    evaluation_image: str = ""
    """The image of the Jobs that run evaluations, which is the operator's own or one made from it; none: no
    evaluation is run."""
    evaluation_pod: str = "{}"
    """JSON for the pods of these Jobs, with any of resources, nodeSelector, tolerations, imagePullSecrets,
    imagePullPolicy, labels and annotations."""

    @field_validator("evaluation_pod")
    @classmethod
    def _pod_settings(cls, given: str) -> str:
        PodSettings.model_validate_json(given)
        return given

    @model_validator(mode="after")
    def _token_for_alertmanager(self) -> Settings:
        if self.alertmanager_listen and not self.alertmanager_token:
            raise ValueError("--alertmanager-listen needs --alertmanager-token: not everybody may post.")
        return self

    @model_validator(mode="after")
    def _lease_times_in_order(self) -> Settings:
        if not seconds(self.lease_duration) > seconds(self.renew_deadline) > seconds(self.retry_period) > 0:
            raise ValueError(
                f"--lease-duration {self.lease_duration}, --renew-deadline {self.renew_deadline} and "
                f"--retry-period {self.retry_period} must each be longer than the next."
            )
        return self


LISTS = {
    "namespace": "NS",
    "prometheus_allowed": "HOST[:PORT]",
    "prometheus_credentials": "ADDRESS=FOLDER",
    "registry_allowed": "HOST[:PORT]",
    "notify_when": "TRANSITION",
    "notify_allowed": "HOST[:PORT]",
}
"""Flags that may be given several times, and in the environment as one text with commas."""


def jobs_of(settings: Settings) -> JobSettings:
    """How evaluations are run."""
    return JobSettings(settings.evaluation_image, PodSettings.model_validate_json(settings.evaluation_pod))


def access_of(settings: Settings) -> Access:
    """Which metrics servers may be asked, and how."""
    given = (each.rpartition("=") for each in settings.prometheus_credentials)
    return Access(
        allowed=settings.prometheus_allowed,
        expressions=settings.scalar_queries == "allow",
        credentials={address: Path(folder) for address, _, folder in given},
    )


def add_flags(parser: argparse.ArgumentParser, env: Mapping[str, str] = os.environ) -> None:
    """One flag per field, with its docstring as help and the environment as default."""
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        variable = f"MODELROLLOUT_{name.upper()}"
        help_text = f"{field.description} (env {variable})"
        if name in LISTS:
            given = [item for item in env.get(variable, "").split(",") if item]
            parser.add_argument(flag, action="append", default=given, help=help_text, metavar=LISTS[name])
        else:
            default = env.get(variable) or default_of(name, env)
            parser.add_argument(flag, default=default, help=f"{help_text}; default: {default}")


def default_of(name: str, env: Mapping[str, str]) -> str:
    """Defaults that depend on where we run; the field's own otherwise."""
    match name:
        case "identity":
            pod = [env[part] for part in ("POD_NAME", "POD_UID") if env.get(part)]
            return "_".join(pod) if pod else f"{socket.gethostname()}_{secrets.token_hex(4)}"
        case "lease_namespace":
            return env.get("POD_NAMESPACE") or "default"
        case "log_format":
            return "console" if sys.stderr.isatty() else "json"
        case _:
            return str(Settings.model_fields[name].default)


def parse(argv: Sequence[str], env: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags and environment; `--help` and mistakes end the process as argparse does."""
    parser = argparse.ArgumentParser(prog="modelrollout operator", description="Run the operator.")
    add_flags(parser, env)
    given = vars(parser.parse_args(argv))
    try:
        return Settings.model_validate({**given, **{name: tuple(given[name]) for name in LISTS}})
    except ValueError as error:
        parser.error(str(error))
