"""A model server that speaks vLLM 0.32's HTTP and metrics, with timing and faults as one chooses.

Standard library only, with `vllm_engine.py` and `vllm_metrics.py` beside it: runs wherever there is python3.
Flags are vLLM's (an unknown one ends it with 2). What is chosen (`vllm_engine.Knobs`) comes from the
environment (`FAKE_TTFT=0.2`) and changes at run time: `POST /fake {"ttft": 0.2}`. The header `x-served-by`
and the end of the system fingerprint tell which process answered.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
import time
from http import HTTPStatus

from vllm_engine import DEAD, Completion, Engine, HttpError, Knobs

VERSION = "0.32.0"
SERVED_BY = os.environ.get("FAKE_NAME") or os.environ.get("HOSTNAME") or "fake"
FINGERPRINT = f"vllm-{VERSION}-{SERVED_BY}"
COMPLETION, CHAT = "/v1/completions", "/v1/chat/completions"
UNCOUNTED = {"/metrics", "/health", "/ping", "/load", "/version", "/fake"}
WORDS = (" one", " word", " after", " another", " is", " what", " it", " said", " and", " no", " more", ".")
STOPPING = "cannot schedule new futures after shutdown"
JSON = "application/json"
NULLS = dict.fromkeys(("logprobs", "stop_reason", "token_ids"))


def flags(arguments):
    parser = argparse.ArgumentParser("fake_vllm", allow_abbrev=False)
    parser.add_argument("--model", default="facebook/opt-125m")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-num-seqs", type=int, default=256)
    parser.add_argument("--max-num-queued-reqs", type=int)
    parser.add_argument("--max-model-len", type=int, default=1024)
    parser.add_argument("--shutdown-timeout", type=float, default=0)
    parser.add_argument("--api-key", default=os.environ.get("VLLM_API_KEY"))
    parser.add_argument("--lora-modules", nargs="+", default=[])
    for switch in ("enable-lora", "enforce-eager", "no-enable-prefix-caching", "trust-remote-code"):
        parser.add_argument(f"--{switch}", action="store_true")
    for ignored in (
        *("revision", "dtype", "load-format", "chat-template", "kv-cache-memory-bytes", "quantization"),
        *("tensor-parallel-size", "gpu-memory-utilization", "max-num-batched-tokens", "uvicorn-log-level"),
    ):
        parser.add_argument(f"--{ignored}")
    return parser.parse_args(arguments)


class Request:
    """One HTTP request, whole."""

    __slots__ = ("body", "headers", "method", "path")

    def __init__(self, head, body):
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, target, _ = line.split(" ", 2)
        self.path = target.partition("?")[0]
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        self.body = body

    def json(self):
        if not self.headers.get("content-type", "").startswith(JSON):
            raise HttpError(
                400, f"1 validation error:\n  Unsupported Media Type: Only '{JSON}' is allowed", "Bad Request"
            )
        try:
            given = json.loads(self.body)
        except ValueError as error:
            raise HttpError(
                400, f"1 validation error:\n  JSON decode error: {error}", "Bad Request", "body"
            ) from None
        if not isinstance(given, dict):
            raise HttpError(400, "1 validation error:\n  the body must be an object", "Bad Request", "body")
        return given


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive: one request after the other, each answered in a single write if it can be."""

    def __init__(self, server):
        self.server, self.buffer, self.task, self.sent, self.status = server, b"", None, 0, 0

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, error):
        if self.task:
            self.task.cancel()

    def data_received(self, data):
        self.buffer += data
        if self.task is None:
            self._next()

    def _next(self):
        head, gap, rest = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        try:
            request = Request(head, b"")
            length = int(request.headers.get("content-length", 0))
            if "transfer-encoding" in request.headers:
                raise ValueError("bodies need a Content-Length here")
        except ValueError as error:
            self.send(400, {"detail": f"Invalid HTTP request received: {error}"})
            self.transport.close()
            return
        if len(rest) < length:
            return
        request.body, self.buffer = rest[:length], rest[length:]
        self.task = asyncio.get_running_loop().create_task(self._serve(request))
        self.server.engine.tasks.add(self.task)

    async def _serve(self, request):
        started, self.sent, self.status = time.monotonic(), 0, 200
        try:
            await self.server.answer(request, self)
        except HttpError as error:
            self.send(error.status, error.body)
        except asyncio.CancelledError:
            self.transport.close()
        finally:
            self.server.engine.tasks.discard(self.task)
            self.task = None
            if request.path not in UNCOUNTED:
                known = request.path == "/v1/models" or (
                    request.path in (COMPLETION, CHAT) and request.method == "POST"
                )
                self.server.engine.metrics.count_http(
                    request.path if known else "none",
                    request.method,
                    self.status,
                    time.monotonic() - started,
                    (len(request.body), self.sent),
                )
        if request.headers.get("connection", "").lower() == "close":
            self.transport.close()
        elif self.buffer:
            self._next()

    def send(self, status, body=b"", kind=JSON):
        """The whole answer; a dict goes out as JSON."""
        if isinstance(body, dict):
            body = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        self.status, self.sent = status, len(body)
        typed = f"content-type: {kind}\r\n" if body else ""
        self._write(status, f"content-length: {len(body)}\r\n{typed}", body)

    def begin(self):
        """Start a stream of events, which `event` fills and `end` closes."""
        self._write(
            200, "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n", b""
        )

    def event(self, data):
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        line = f"data: {text}\n\n".encode()
        self.transport.write(b"%x\r\n%b\r\n" % (len(line), line))

    def end(self):
        self.event("[DONE]")
        self.transport.write(b"0\r\n\r\n")

    def _write(self, status, headers, body):
        phrase = HTTPStatus(status).phrase
        head = f"HTTP/1.1 {status} {phrase}\r\nserver: uvicorn\r\nx-served-by: {SERVED_BY}\r\n{headers}\r\n"
        self.transport.write(head.encode() + body)


class Server:
    """Routes requests, and puts what the engine yields into OpenAI's words."""

    def __init__(self, options, knobs):
        self.names = options.served_model_name or [options.model]
        self.adapters = [entry.partition("=")[0] for entry in options.lora_modules]
        self.options, self.knobs, self.started = options, knobs, int(time.time())
        self.idents = itertools.count()
        self.engine = Engine(
            self.names[0],
            knobs,
            places=options.max_num_seqs,
            longest_line=options.max_num_queued_reqs,
            longest_text=options.max_model_len,
        )

    async def answer(self, request, out):
        method, path = request.method, request.path
        key = self.options.api_key
        if key and path.startswith("/v1") and request.headers.get("authorization") != f"Bearer {key}":
            out.send(401, {"error": "Unauthorized"})
        elif path in (COMPLETION, CHAT):
            if method == "POST":
                await self._complete(request.json(), path == CHAT, out)
            else:
                out.send(405, {"detail": "Method Not Allowed"})
        elif path == "/fake":
            self._turn_knobs(request, out)
        elif path in ("/health", "/ping"):
            out.send(503 if self.engine.state == "dead" else 200)
        elif path == "/metrics":
            out.send(200, self.engine.scrape().encode(), "text/plain; version=1.0.0; charset=utf-8")
        elif path in ("/version", "/load"):
            out.send(200, {"version": VERSION} if path == "/version" else {"server_load": 0})
        elif path == "/v1/models":
            out.send(200, self._models())
        else:
            out.send(404, {"detail": "Not Found"})

    def _turn_knobs(self, request, out):
        try:
            if request.method == "POST":
                self.knobs.change(request.json())
        except (ValueError, TypeError) as error:
            raise HttpError(400, str(error), "BadRequestError") from error
        out.send(200, vars(self.knobs))

    def _models(self):
        def card(name, root, parent):
            described = {
                "id": name,
                "object": "model",
                "created": self.started,
                "owned_by": "vllm",
                "root": root,
            }
            return described | {
                "parent": parent,
                "max_model_len": self.options.max_model_len,
                "permission": [],
            }

        cards = [card(name, self.options.model, None) for name in self.names]
        cards += [card(name, name, self.names[0]) for name in self.adapters]
        return {"object": "list", "data": cards}

    async def _complete(self, given, chat, out):
        engine = self.engine
        if engine.state in ("draining", "dead"):
            message = DEAD if engine.state == "dead" else STOPPING
            raise HttpError(500, message, "InternalServerError")
        model, completion = self._checked(given, chat)
        ident = f"{'chatcmpl' if chat else 'cmpl'}-{os.getpid():x}{next(self.idents):08x}"
        said = {"id": ident, "created": int(time.time()), "model": model}
        if given.get("stream"):
            usage = bool((given.get("stream_options") or {}).get("include_usage"))
            await self._stream(completion, said, chat, usage, out)
            return
        text = "".join([word async for word in engine.generate(completion)])
        out.send(200, whole(said, chat, text, completion))

    def _checked(self, given, chat):
        model = given.get("model") or self.names[0]
        if model not in self.names and model not in self.adapters:
            aliases = ", ".join(self.names)
            message = f"The model `{model}` does not exist. Valid aliases: {aliases}."
            raise HttpError(404, message, "NotFoundError", "model")
        prompt = prompt_of(given, chat)
        longest, prompt_tokens = self.options.max_model_len, len(prompt) // 4 + 1
        asked = given.get("max_completion_tokens") or given.get("max_tokens") or (longest if chat else 16)
        if asked > longest:
            message = (
                f"max_tokens={asked} cannot be greater than max_model_len={longest}. Please request fewer "
                f"output tokens. (parameter=max_tokens, value={asked})"
            )
            raise HttpError(400, message, "BadRequestError", "max_tokens")
        if prompt_tokens >= longest:
            message = f"You passed {prompt_tokens} input tokens. The context length is only {longest} tokens."
            raise HttpError(400, message, "BadRequestError", "input_tokens")
        most = min(asked, longest - prompt_tokens)
        return model, Completion(prompt_tokens, most, self._words(given, most))

    def _words(self, given, most):
        if given.get("ignore_eos") or not self.knobs.answer:
            length = most if given.get("ignore_eos") else max(1, self.knobs.tokens)
            return list(itertools.islice(itertools.cycle(WORDS), length))
        first, *others = self.knobs.answer.split(" ")
        return [first, *(f" {word}" for word in others)]

    async def _stream(self, completion, said, chat, usage, out):
        said["object"] = "chat.completion.chunk" if chat else "text_completion"
        begun = False
        try:
            async for word in self.engine.generate(completion):
                if not begun:
                    out.begin()
                    begun = True
                    if chat:
                        out.event(said | {"choices": [delta(chat, "", None, role="assistant")]})
                out.event(
                    said | {"choices": [delta(chat, word, completion.reason)]} | last_words(completion, usage)
                )
        except HttpError as error:
            if error.status == 503:
                raise  # refused at the door; what fails later fails under the 200 that was sent
            if not begun:
                out.begin()
            out.event(error.body)
            out.end()
            return
        if completion.reason == "abort":
            if not begun:
                out.begin()
            out.event(said | {"choices": [delta(chat, "", "abort")]} | last_words(completion, usage))
        if usage:
            out.event(
                said | {"choices": [], "usage": usage_of(completion), "system_fingerprint": FINGERPRINT}
            )
        out.end()


def prompt_of(given, chat):
    if chat:
        messages = given.get("messages")
        if not isinstance(messages, list) or not messages:
            raise HttpError(
                400, "1 validation error:\n  messages: Field required", "Bad Request", "body.messages"
            )
        return "".join(f"{message.get('role')}: {message.get('content')}\n" for message in messages)
    prompt = given.get("prompt")
    if not prompt:
        message = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
        raise HttpError(400, message, "BadRequestError", "prompt")
    return prompt if isinstance(prompt, str) else str(prompt)


def delta(chat, text, reason, role=None):
    if not chat:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}
    said = {"role": role, "content": text} if role else {"content": text}
    return {"index": 0, "delta": said, "logprobs": None, "finish_reason": reason}


def last_words(completion, usage):
    return {"system_fingerprint": FINGERPRINT} if completion.reason and not usage else {}


def usage_of(completion):
    prompt, produced = completion.prompt_tokens, completion.produced
    return {"prompt_tokens": prompt, "total_tokens": prompt + produced, "completion_tokens": produced}


def whole(said, chat, text, completion):
    what = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, **what, **NULLS, "finish_reason": completion.reason}
    kind = "chat.completion" if chat else "text_completion"
    return said | {
        "object": kind,
        "choices": [choice],
        "system_fingerprint": FINGERPRINT,
        "usage": usage_of(completion),
    }


async def main(options):
    knobs = Knobs.from_environment()
    await asyncio.sleep(
        knobs.startup_delay
    )  # not listening yet: connections are refused, as with the real one
    if knobs.startup_exit >= 0:
        return knobs.startup_exit
    server, loop, told = Server(options, knobs), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    listener = await loop.create_server(lambda: Connection(server), options.host, options.port, backlog=2048)
    print(f"fake vLLM {SERVED_BY} serves {server.names[0]} on port {options.port}", flush=True)
    ends = [loop.create_task(event.wait()) for event in (told, server.engine.died)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if server.engine.died.is_set():
        await asyncio.sleep(0.25)
    else:
        await shut_down(server.engine, options.shutdown_timeout)
    listener.close()
    return 0


async def shut_down(engine, patience):
    """Without patience what runs is cut and says so; with it, it runs out while new requests get a 500."""
    engine.state = "draining"
    if patience and engine.tasks:
        await asyncio.wait(set(engine.tasks), timeout=patience)
    engine.state = "stopping"
    engine.cut()
    if engine.tasks:
        await asyncio.wait(set(engine.tasks), timeout=1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(flags(sys.argv[1:]))))
