"""Any server with an OpenAI API, started by the user's own command and arguments."""

from __future__ import annotations

from modelrollout.serving.servers.server import ModelServer, Question, no_flags

# Two tokens, because the first comes from prefill and only the second from a decode step.
SHORT = {"max_tokens": 2, "temperature": 0}

QUESTIONS = (
    Question(
        "/v1/chat/completions", {**SHORT, "messages": [{"role": "user", "content": "Hello"}]}, '"choices"'
    ),
    Question("/v1/completions", {**SHORT, "prompt": "Hello"}, '"choices"'),
    Question("/v1/embeddings", {"input": "Hello"}, '"embedding"'),
    Question("/v1/rerank", {"query": "Hello", "documents": ["Hello", "world"]}, '"results"'),
    Question("/v1/score", {"text_1": "Hello", "text_2": "world"}, '"data"'),
    Question("/classify", {"input": "Hello"}, '"data"'),
    Question("/pooling", {"input": "Hello"}, '"data"'),
    Question("/v1/audio/transcriptions", {"file": None}, '"text"'),
)
"""Chat before completions: most clients chat, and a broken chat template is seen only there."""

OPENAI = ModelServer(name="openai", flags=no_flags, questions=QUESTIONS)
