"""Startup probe of the model server's container: succeeds once the server has answered what clients ask.

The kubelet runs this source inside the container as `python3 -IS -c SOURCE PORT SECONDS LOG KEY QUESTIONS`,
so it uses the standard library only. KEY names the variable with the server's key. QUESTIONS is JSON: a list
of {path, body, sign}, tried in turn. The first that the server has an API for must be answered; which APIs it
has depends on the model, and only the server knows. What it did instead of answering goes to LOG, the
container's termination log, where it outlives the container and the operator finds it.
"""

from __future__ import annotations

import os
import socket
import sys

HOST = "127.0.0.1"
FORM = "modelrollout-probe"
NO_TEMPLATE = (
    "must provide a chat template",
    "default chat template is no longer",
    "chat template is not set",
)
"""How servers say that the model has no chat template. That is in order: its clients complete texts."""


def main(port: int, patience: float, log: str, key: str, questions: str) -> str:
    """Why the server is not ready; empty when it is."""
    try:
        socket.create_connection((HOST, port), patience).close()
    except OSError as error:
        return f"The server is not listening yet: {error}."
    import json  # late, as below: most runs end before, while the model loads and needs the CPU

    said = []
    for question in json.loads(questions):
        path, body = question["path"], question.get("body")
        status, text = ask(port, path, body, patience, os.environ.get(key, ""))
        if 200 <= status < 300 and question.get("sign", "") in text:
            return remember(log, "")
        answer = f"{path}: {status or 'no status'}, {' '.join(text.split())[:300]}"
        if not absent(status, text, (body or {}).get("model", "")):
            hint = f" Set {key} in env, so that the probe has the key too." if status in (401, 403) else ""
            return remember(log, f"The server listens but did not answer a request: {answer}.{hint}")
        said.append(answer)
    return remember(log, f"The server listens but has no API that is known: {'; '.join(said)[:1500]}.")


def absent(status: int, text: str, model: str) -> bool:
    """Whether the answer says that the server has no such API for its model."""
    text = text.lower().replace("_", " ")
    if status in (400, 404) and "does not exist" in text and model.lower().replace("_", " ") in text:
        return False  # the API is there, and the model has another name
    if status in (404, 405, 501):
        return True
    return status >= 400 and ("does not support" in text or any(words in text for words in NO_TEMPLATE))


def ask(port: int, path: str, body: dict[str, object] | None, patience: float, key: str) -> tuple[int, str]:
    """Status and text of the answer; status 0 where no answer came."""
    import http.client
    import json

    headers = {"Authorization": "Bearer " + key} if key else {}
    content: bytes | None = None
    if body is not None and None in body.values():
        headers["Content-Type"] = "multipart/form-data; boundary=" + FORM
        content = form(body)
    elif body is not None:
        headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode()
    connection = http.client.HTTPConnection(HOST, port, timeout=patience)
    try:
        connection.request("GET" if body is None else "POST", path, content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except TimeoutError:
        return 0, f"nothing came within {patience:g} s"
    except (OSError, http.client.HTTPException) as error:
        return 0, f"the connection broke ({error!r})"


def form(fields: dict[str, object]) -> bytes:
    """The fields as an HTML form; None is a file with a second of silence."""
    import io
    import wave

    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(32000))
    parts = b""
    for name, value in fields.items():
        parts += f'--{FORM}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if value is None:
            parts += b'; filename="silence.wav"\r\nContent-Type: audio/wav\r\n\r\n' + sound.getvalue()
        else:
            parts += f"\r\n\r\n{value}".encode()
        parts += b"\r\n"
    return parts + f"--{FORM}--\r\n".encode()


def remember(path: str, message: str) -> str:
    """Leave the message where the pod's status shows it after the container has ended."""
    try:
        with open(path, "w", encoding="utf-8") as log:  # noqa: PTH123 (pathlib loads slowly)
            log.write(message)
    except OSError:
        pass  # a log that cannot be written must not make a healthy server unready
    return message


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]) or 0)
