"""A real Alertmanager: the first test that needs it builds it from its Go module into the cache folder.

It is no part of `PIECES`, because it shares little with them and takes minutes of a processor to compile.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.bed import folders, golang
from tests.bed.failure import BedError
from tests.bed.pieces import Piece
from tests.bed.ports import free_port

PIECE = Piece(
    "alertmanager",
    {"alertmanager": "github.com/prometheus/alertmanager/cmd/alertmanager"},
    seconds=165,
    not_inlined=("all",),
    # a release brings the pages of its user interface; the module's sources have none
    made={"github.com/prometheus/alertmanager:ui/app/dist/index.html": "There are no pages here.\n"},
)
LONGEST_START = 60.0


def binary() -> Path:
    """Built first if need be."""
    with folders.locked("alertmanager"):
        if not PIECE.built():
            build = golang.GoBuild(PIECE)
            build.download()
            build.compile(lambda _: None)
            golang.clean()
    return PIECE.folder() / "bin" / "alertmanager"


class AlertmanagerServer:
    """A server with this configuration. Use as a context manager."""

    def __init__(self, where: Path, config: dict[str, Any]) -> None:
        self._where, self._binary = where, binary()
        (where / "alertmanager.yml").write_text(yaml.safe_dump(config))
        self._address = f"127.0.0.1:{free_port()}"
        self.http = httpx.Client(base_url=f"http://{self._address}", timeout=30)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "AlertmanagerServer":
        flags = {
            "config.file": self._where / "alertmanager.yml",
            "storage.path": self._where / "data",
            "web.listen-address": self._address,
            "cluster.listen-address": "",
        }
        with (self._where / "alertmanager.log").open("ab") as log:
            command = [str(self._binary), *(f"--{name}={value}" for name, value in flags.items())]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + LONGEST_START
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if self.http.get("/-/ready").is_success:
                    return self
            except httpx.HTTPError:
                time.sleep(0.1)
        self.kill()
        said = (self._where / "alertmanager.log").read_text()[-2000:]
        raise BedError(f"Alertmanager did not start:\n{said}")

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.http.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, starts: str, ends: str | None = None, **labels: str) -> None:
        """As a Prometheus sends an alert."""
        ending = {"endsAt": ends} if ends is not None else {}
        body = [{"labels": labels, "startsAt": starts, **ending}]
        self.http.post("/api/v2/alerts", json=body).raise_for_status()

    def counted(self, family: str, **labels: str) -> float:
        """A counter of its own metrics page, summed over the series with these labels."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = (line for line in self.http.get("/metrics").text.splitlines() if line.startswith(family))
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))
