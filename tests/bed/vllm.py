"""Real vLLM on the CPU: one environment and a few tiny models, made once in the cache folder.

Pods mount the folder at its own absolute path (`hostPath`), with an image whose /usr/bin/python3.11 is
Debian's like the one the environment was made with; so its scripts and links stay valid inside.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bed import folders
from tests.bed.failure import BedError

SOURCE = folders.HERE / "pieces" / "vllm"
PYTHON = Path("/usr/bin/python3.11")
"""Debian 12's interpreter, which the image `bed.local/python:1` has at the same path."""

MODELS: Mapping[str, tuple[int, int, int]] = {
    "tiny": (1, 128, 2),
    "tiny-next": (2, 128, 2),
    "slow": (3, 512, 24),
}
"""Name -> seed, hidden width, layers. `tiny-next` is as quick as `tiny`, `slow` several times slower."""

UNUSED = (
    "cudnn/lib/libcudnn_*",
    "*/lib/*.alt.so*",
    "*/lib/libnvperf*",
    "*/lib/*.a",
    "*/lib/*.bc",
    "*/include",
)
"""What torch never opens without a GPU, below `nvidia/`: most of a gigabyte. To the rest it is linked."""

SERVER = (
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--dtype=bfloat16",
    "--max-model-len=1024",
    "--max-num-seqs=16",
    "--enforce-eager",
    "--kv-cache-memory-bytes=67108864",
)
"""Arguments after the interpreter for a small server; add --model, --port and --served-model-name."""

SELDOM_IMPORTED = r"/(tests?|anthropic|mistral_common|nvidia)/|/transformers/models/(?!auto/|llama/)"
"""Python files that a server does not import: not worth compiling to byte code."""

INSPECT = (
    "from vllm.model_executor.models.registry import ModelRegistry; "
    "ModelRegistry.models['LlamaForCausalLM'].inspect_model_cls()"
)

ENVIRONMENT: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the default pins every server's first worker to the same core
    "OMP_NUM_THREADS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # worker and engine in one process: a third less to start
    "HOME": "/tmp",
}


@dataclass(frozen=True)
class Vllm:
    """The finished folder: `python` with vLLM, and models by name."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    def model(self, name: str) -> Path:
        return models_folder(self.folder) / name

    @property
    def cache(self) -> Path:
        """What vLLM finds out about a model's class by loading it in a process of its own."""
        return self.folder / "cache"

    @property
    def environment(self) -> dict[str, str]:
        """For every server that runs from this folder."""
        return {**ENVIRONMENT, "VLLM_CACHE_ROOT": str(self.cache)}

    def complete(self) -> bool:
        return self.cache.exists() and all((self.model(name) / "complete").exists() for name in MODELS)


def folder() -> Path:
    """One folder per set of packages; the models inside have a hash of their own."""
    digest = hashlib.sha256((SOURCE / "requirements.txt").read_bytes() + str(PYTHON).encode())
    return folders.cache_root() / f"vllm-{digest.hexdigest()[:16]}"


def models_folder(home: Path | None = None) -> Path:
    """One folder per recipe of the models, below the environment's."""
    content = (folders.HERE / "tiny_model.py").read_bytes() + json.dumps(dict(MODELS)).encode()
    return (home or folder()) / f"models-{hashlib.sha256(content).hexdigest()[:8]}"


def built() -> bool:
    return Vllm(folder()).complete()


def vllm() -> Vllm:
    """The finished environment; BedError when it is not made yet."""
    if not built():
        raise BedError("vLLM is not installed yet: run `python -m tests.bed build` (or `make bed-build`).")
    return Vllm(folder())


def download() -> None:
    """Fetch and unpack all packages (mostly network, some disk); resumes where it stopped."""
    home = folder()
    if not (home / "venv" / "bin" / "python").exists():
        run([PYTHON, "-m", "venv", "--without-pip", home / "venv"])
    uv = installer()
    run(
        [
            uv,
            "pip",
            "install",
            "-p",
            home / "venv" / "bin" / "python",
            "--no-deps",
            "-r",
            SOURCE / "requirements.txt",
        ]
    )


def finish() -> Vllm:
    """Drop what is never used, compile to byte code (pods mount it read-only), and make the models."""
    home = Vllm(folder())
    packages = home.folder / "venv" / "lib" / "python3.11" / "site-packages"
    for pattern in UNUSED:
        for found in (packages / "nvidia").glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()
    command = [
        home.python,
        "-m",
        "compileall",
        "-q",
        "-j",
        os.cpu_count() or 1,
        "-x",
        SELDOM_IMPORTED,
        packages,
    ]
    run(command, expect=(0, 1))  # 1: some files are not meant for this Python
    for name, numbers in MODELS.items():
        if not (home.model(name) / "complete").exists():
            run([home.python, folders.HERE / "tiny_model.py", home.model(name), *numbers])
            (home.model(name) / "complete").touch()
    inspect(home)
    shutil.rmtree(work_folder(), ignore_errors=True)
    return home


def inspect(home: Vllm) -> None:
    """Have vLLM look at the models' class once, which else costs each server a third of its start."""
    if home.cache.exists():
        return
    part = home.folder / "cache.part"
    run([home.python, "-c", INSPECT], {**ENVIRONMENT, "VLLM_CACHE_ROOT": str(part)})
    part.rename(home.cache)


def work_folder() -> Path:
    return folders.cache_root() / "work" / "uv"


def installer() -> Path:
    """Path of uv: the one on the PATH, or one installed into the work folder."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found:
        return Path(found)
    target = work_folder() / "tool"
    if not (target / "bin" / "uv").exists():
        run([sys.executable, "-m", "pip", "install", "-q", "--target", target, "uv"])
    return target / "bin" / "uv"


def run(
    argv: Sequence[object], more: Mapping[str, str] | None = None, expect: tuple[int, ...] = (0,)
) -> None:
    """Run quietly; UV's cache lies beside the environment so that files are linked, not copied."""
    cache = {"UV_CACHE_DIR": str(work_folder() / "cache"), "UV_NO_PROGRESS": "1"}
    environment = {**os.environ, **cache, **(more or {})}
    words = [str(word) for word in argv]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in expect:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise BedError(f"`{' '.join(words[:4])} ...` failed while making the vLLM environment:\n{tail}")
