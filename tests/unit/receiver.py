"""A webhook receiver that takes what comes, answers as a test sets it, hangs, dies or lies."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Use as a context manager. `got` has path, headers and body of each request."""

    def __init__(self):
        self.got, self.answer, self.mood, self.body = [], (200, {}), "", b""
        self.asked, self.over = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.got.append((self.path, dict(self.headers), body))
                outer.asked.set()
                with contextlib.suppress(OSError):
                    outer.respond(self)

            def do_GET(self):
                outer.got.append((self.path, dict(self.headers), b""))
                with contextlib.suppress(OSError):
                    outer.respond(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def respond(self, handler):
        if self.mood == "hangs":
            self.over.wait(60)
        elif self.mood == "dies":
            handler.connection.close()
        elif self.mood == "babbles":
            handler.wfile.write(b"\x00\x01 certainly no HTTP\r\n\r\n")
        elif self.mood == "rambles":
            handler.send_response(200)
            handler.end_headers()
            while not self.over.is_set():
                handler.wfile.write(b"x" * 65536)
        else:
            status, headers = self.answer
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(self.body)))
            handler.end_headers()
            handler.wfile.write(self.body)

    def __enter__(self):
        serve = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        serve.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
