"""A real MLflow server: one environment, made once in the cache folder, and servers that start from it.

pieces/mlflow/requirements.txt pins every package by hash. The environment is made by the first test that
needs it, and lies beside the bed's other parts; nothing of it is in the environment of the tests.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.bed import folders
from tests.bed.failure import BedError
from tests.bed.ports import free_port
from tests.bed.vllm import installer, run

REQUIREMENTS = folders.HERE / "pieces" / "mlflow" / "requirements.txt"
TABLES = (
    "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore; "
    "SqlAlchemyStore(f'sqlite:///{sys.argv[1]}', 'mlflow-artifacts:/')"
)
"""Makes an empty database, which takes longer than all else that a server does at its start."""
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
LONGEST_START = 120.0


def folder() -> Path:
    """One folder per set of packages and interpreter."""
    content = REQUIREMENTS.read_bytes() + TABLES.encode() + sys.version.encode()
    return folders.cache_root() / f"mlflow-{hashlib.sha256(content).hexdigest()[:16]}"


def environment() -> Path:
    """The finished folder, with `venv` and `empty.db`; it is made first if need be."""
    home = folder()
    with folders.locked("mlflow"):
        if not (home / "empty.db").exists():
            shutil.rmtree(home, ignore_errors=True)
            python = home / "venv" / "bin" / "python"
            run([sys.executable, "-m", "venv", "--without-pip", home / "venv"])
            how = ["--no-deps", "--require-hashes", "--compile-bytecode"]
            run([installer(), "pip", "install", "-p", python, *how, "-r", REQUIREMENTS])
            run([python, "-c", TABLES, home / "part.db"], QUIET)
            (home / "part.db").rename(home / "empty.db")
    return home


class MlflowServer:
    """A server with its database and files in `where`. Use as a context manager."""

    def __init__(self, where: Path) -> None:
        self._home, self._where = environment(), where
        self._where.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._home / "empty.db", where / "mlflow.db")
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=f"{self.address}/api/2.0", timeout=30)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "MlflowServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.http.close()

    def start(self) -> "MlflowServer":
        """What `mlflow server` starts, without the process before it that only reads the flags."""
        store = f"sqlite:///{self._where / 'mlflow.db'}"
        settings = {
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self._where / "artifacts"),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        }
        command = [self._home / "venv" / "bin" / "python", "-m", "uvicorn", "mlflow.server.fastapi_app:app"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        with (self._where / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **QUIET, **settings},
                stdout=log,
                stderr=log,
                cwd=self._where,
            )
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + LONGEST_START
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if self.http.get(f"{self.address}/health").is_success:
                    return
            time.sleep(0.1)
        raise BedError(f"MLflow did not start:\n{(self._where / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # ── what people do in it ────────────────────────────────────────────────────────────────────

    def _post(self, path: str, **body: object) -> dict[str, object]:
        response = self.http.post(f"/mlflow/{path}", json=body)
        assert response.is_success, response.text
        found: dict[str, object] = response.json()
        return found

    def register(self, name: str, source: str, **more: object) -> str:
        """A version of this model; its number."""
        self.http.post("/mlflow/registered-models/create", json={"name": name})
        found = self._post("model-versions/create", name=name, source=source, **more)
        version = found["model_version"]
        assert isinstance(version, dict)
        return str(version["version"])

    def give(self, name: str, alias: str, number: str) -> None:
        """Move an alias to this version."""
        self._post("registered-models/alias", name=name, alias=alias, version=number)

    def stage(self, name: str, stage: str, number: str) -> None:
        how = {"name": name, "stage": stage, "version": number, "archive_existing_versions": False}
        self._post("model-versions/transition-stage", **how)

    def run(self) -> tuple[str, str]:
        """A run: its identity, and where it keeps its files."""
        found = self._post("runs/create", experiment_id="0")
        run = found["run"]
        assert isinstance(run, dict)
        return str(run["info"]["run_id"]), str(run["info"]["artifact_uri"])

    def keep(self, uri: str, path: str, content: bytes) -> None:
        """Store a file below an address that begins with mlflow-artifacts:/."""
        place = f"{uri.removeprefix('mlflow-artifacts:').strip('/')}/{path}"
        assert self.http.put(f"/mlflow-artifacts/artifacts/{place}", content=content).is_success

    def kept(self, uri: str, path: str) -> bytes | None:
        place = f"{uri.removeprefix('mlflow-artifacts:').strip('/')}/{path}"
        response = self.http.get(f"/mlflow-artifacts/artifacts/{place}")
        return response.content if response.is_success else None

    def alias(self, name: str, alias: str) -> str | None:
        """The version that the alias names."""
        query = {"name": name, "alias": alias}
        response = self.http.get("/mlflow/registered-models/alias", params=query)
        return str(response.json()["model_version"]["version"]) if response.is_success else None

    def tags(self, name: str, number: str) -> dict[str, str]:
        response = self.http.get("/mlflow/model-versions/get", params={"name": name, "version": number})
        tags = response.raise_for_status().json()["model_version"].get("tags", [])
        return {tag["key"]: tag["value"] for tag in tags}
