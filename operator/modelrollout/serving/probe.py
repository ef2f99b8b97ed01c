"""Startup probe of the model server's container: succeeds once the server has answered a completion.

The kubelet runs this source inside the container as `python3 -IS -c SOURCE PORT MODEL SECONDS LOG`, so it
uses the standard library only. What the server did instead of answering goes to LOG, the container's
termination log, where it outlives the container and the operator finds it.
"""

from __future__ import annotations

import os
import socket
import sys

HOST = "127.0.0.1"
WRONG_API = (400, 404, 405)


def main(port: int, model: str, patience: float, log: str) -> str:
    """Why the server is not ready; empty when it is."""
    try:
        socket.create_connection((HOST, port), patience).close()
    except OSError as error:
        return f"The server is not listening yet: {error}."
    # Two tokens, because the first comes from prefill and only the second from a decode step.
    short = {"model": model, "max_tokens": 2, "temperature": 0}
    attempts = (
        ("/v1/completions", {**short, "prompt": "Hello"}),
        ("/v1/chat/completions", {**short, "messages": [{"role": "user", "content": "Hello"}]}),
    )
    refusals = []
    for path, body in attempts:
        status, text = ask(port, path, body, patience)
        if status == 200 and '"choices"' in text:
            return remember(log, "")
        refusals.append(f"{path}: {status or 'no status'}, {' '.join(text.split())[:300]}")
        if status not in WRONG_API:
            break
    hint = " Set VLLM_API_KEY in env, so that the probe has the key too." if status in (401, 403) else ""
    problem = f"The server listens but did not answer a completion: {'; '.join(refusals)}.{hint}"
    return remember(log, problem)


def ask(port: int, path: str, body: dict[str, object], patience: float) -> tuple[int, str]:
    """Status and text of the answer; status 0 where there was none."""
    import http.client  # late: most runs end before, while the model loads and needs the CPU
    import json

    headers = {"Content-Type": "application/json"}
    if os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = "Bearer " + os.environ["VLLM_API_KEY"]
    connection = http.client.HTTPConnection(HOST, port, timeout=patience)
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except TimeoutError:
        return 0, f"nothing came within {patience:g} s"
    except (OSError, http.client.HTTPException) as error:
        return 0, f"the connection broke ({error!r})"


def remember(path: str, message: str) -> str:
    """Leave the message where the pod's status shows it after the container has ended."""
    try:
        with open(path, "w", encoding="utf-8") as log:  # noqa: PTH123 (pathlib loads slowly)
            log.write(message)
    except OSError:
        pass  # a log that cannot be written must not make a healthy server unready
    return message


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]) or 0)
