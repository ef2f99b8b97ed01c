"""buildah, without a daemon and with a storage that lives for one build, so that nothing piles up."""

import json
import os
import secrets
import shutil
import subprocess
from types import TracebackType
from typing import Self

from tests.bed import folders, remains
from tests.bed.failure import BedError

POLICY = {"default": [{"type": "insecureAcceptAnything"}]}  # Debian's buildah comes without one


class Buildah:
    """A context manager; call it with a command's words. RUN steps are in a chroot: that needs only root."""

    def __enter__(self) -> Self:
        self.storage = folders.cache_root() / "work" / f"buildah-{secrets.token_hex(4)}"
        self.storage.mkdir(parents=True)
        self.policy = self.storage / "policy.json"
        self.policy.write_text(json.dumps(POLICY))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remains.unmount_below(self.storage)  # buildah mounts its overlay folder on itself
        shutil.rmtree(self.storage)

    def __call__(self, command: str, *words: str) -> None:
        environment = {**os.environ, "STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
        roots = [f"--root={self.storage / 'root'}", f"--runroot={self.storage / 'run'}"]
        argv = ["buildah", *roots, command, f"--signature-policy={self.policy}", *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join((done.stderr + done.stdout).splitlines()[-15:])
            raise BedError(f"`buildah {command} {' '.join(words[-2:])}` failed ({done.returncode}):\n{tail}")
