"""Model servers. To add one, write a file with a `ModelServer` and name it in `SERVERS`."""

from __future__ import annotations

from modelrollout.serving.servers import openai, sglang, vllm
from modelrollout.serving.servers.server import ModelServer

SERVERS: dict[str, ModelServer] = {each.name: each for each in (vllm.VLLM, sglang.SGLANG, openai.OPENAI)}


def server_named(name: str) -> ModelServer:
    """The server that `runtime.server` means.

    Raises:
        ValueError: there is no such server; the sentence says which there are.
    """
    if name not in SERVERS:
        raise ValueError(
            f"runtime.server is {name}, and this version of the operator knows {', '.join(SERVERS)}: write "
            "one of these; openai is any server with an OpenAI API, started by your own command and args"
        )
    return SERVERS[name]
