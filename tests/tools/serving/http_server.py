"""A server on a free local port that answers as a test tells it and remembers what it was asked."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, str] | float | None
"""Status and body; or seconds of silence; or None: break the connection."""


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Server:
    port: int
    answers: dict[str, list[Answer]]
    """Path -> answers in turn; the last one is repeated."""
    asked: list[Asked] = field(default_factory=list)

    def next_answer(self, path: str) -> Answer:
        answers = self.answers.get(path, [(404, '{"detail":"Not Found"}')])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextlib.contextmanager
def serving(**answers: list[Answer]) -> Iterator[Server]:
    """Serve what is named so under the paths that vLLM has for it."""
    paths = {
        "completions": "/v1/completions",
        "chat": "/v1/chat/completions",
        "embeddings": "/v1/embeddings",
        "rerank": "/v1/rerank",
        "score": "/v1/score",
        "classify": "/classify",
        "pooling": "/pooling",
        "transcriptions": "/v1/audio/transcriptions",
        "health": "/health",
        "metrics": "/metrics",
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers["Content-Length"]))
            body = (
                json.loads(given) if self.headers["Content-Type"] == "application/json" else {"form": given}
            )
            server.asked.append(Asked(self.path, dict(self.headers), body))
            self.reply()

        def do_GET(self) -> None:
            server.asked.append(Asked(self.path, dict(self.headers), {}))
            self.reply()

        def reply(self) -> None:
            match server.next_answer(self.path):
                case None:
                    self.close_connection = True
                case (status, text):
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(text.encode())
                case seconds:
                    time.sleep(seconds)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(http_server.server_port, {paths[name]: list(given) for name, given in answers.items()})
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()


def free_port() -> int:
    """A port on which nothing listens."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as unused:
        return unused.server_port
