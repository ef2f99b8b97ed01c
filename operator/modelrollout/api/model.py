"""What makes pods answer differently: the weights, the server that loads them, and the prompts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from modelrollout.api.quantities import Duration
from modelrollout.api.wire import Name, Wire

_HUB = r"hf://[^/\s:@\p{Cc}\p{Cf}]+/[^/\s:@\p{Cc}\p{Cf}]+"
_STORES = r"(s3|gs|pvc)://[^/\s\p{Cc}\p{Cf}]+(/[^\s\p{Cc}\p{Cf}]*)?|file:///[^\s\p{Cc}\p{Cf}]+"
_REGISTERED = r"mlflow://[^/\s:@\p{Cc}\p{Cf}]+(@[A-Za-z0-9_.-]+|/[1-9][0-9]{0,9})"
PLAIN_URI_PATTERN = rf"^({_HUB}|{_STORES})$"
"""No colon and no @ in a Hugging Face name: other tools write a revision after these."""
URI_PATTERN = rf"^({_HUB}(@[A-Za-z0-9_.][A-Za-z0-9_./-]*)?|{_STORES}|{_REGISTERED})$"
"""What stands for weights too: a branch of a repository, and an alias or a version of a registry."""
VISIBLE_PATTERN = r"^[^\p{Cc}\p{Cf}]*$"
PATH_PATTERN = r"^/[!-~]*$"

PlainUri = Annotated[str, Field(max_length=512, pattern=PLAIN_URI_PATTERN)]
Uri = Annotated[str, Field(max_length=512, pattern=URI_PATTERN)]
ServedName = Annotated[str, Field(min_length=1, max_length=128, pattern=VISIBLE_PATTERN)]
Text = Annotated[str, Field(max_length=1024)]


class Adapter(Wire):
    """A LoRA adapter served beside the base model."""

    name: Name
    """Clients ask for the adapter by this name."""
    uri: PlainUri
    """Where it lies: hf://org/name, pvc://claim/path or file:///path."""


class Model(Wire):
    """Which weights are served, and under which name clients ask for them."""

    uri: Uri
    """hf://org/name, s3://bucket/path, gs://bucket/path, pvc://claim/path or file:///path. These stand for
    weights that are looked up once and pinned in status: mlflow://name@alias and mlflow://name/version, which
    need registry.address, and hf://org/name@branch."""
    revision: Annotated[str, Field(max_length=128, pattern=VISIBLE_PATTERN)] | None = None
    """Commit, tag or version of the weights at that address; without it, whatever is there when a pod
    starts."""
    served_name: ServedName | None = None
    """Clients send this name, so it must not differ between revisions; default: the rollout's name."""
    served_names: Annotated[list[ServedName], Field(max_length=16)] = Field(default_factory=list)
    """More names under which clients may ask for the same model; the server counts all under servedName."""
    adapters: Annotated[list[Adapter], Field(max_length=16)] = Field(default_factory=list)
    """LoRA adapters that are served beside the base model."""


class Drain(Wire):
    """How long a pod that leaves may finish the streams it has."""

    timeout: Duration = "2m"
    """After this long its streams are cut."""


class Probe(Wire):
    """A request that a new pod must answer with a 2xx status before users are sent to it."""

    path: Annotated[str, Field(pattern=PATH_PATTERN, max_length=512)]
    """Such as /v1/embeddings."""
    body: dict[str, Any] | None = None
    """Posted as JSON, with the model's name if the server wants it; without a body the request is a GET."""


class Runtime(Wire):
    """The server that loads the model: image, arguments, hardware."""

    server: Name = "vllm"
    """vllm, sglang, or openai for any server with an OpenAI API that your own command and args start."""
    image: Annotated[str, Field(min_length=1, max_length=512, pattern=VISIBLE_PATTERN)]
    """The server's container image, with a tag or a digest."""
    command: Annotated[list[Text], Field(max_length=16)] = Field(default_factory=list)
    """The command that starts the server. Empty: the image's own."""
    args: Annotated[list[Text], Field(max_length=64)] = Field(default_factory=list)
    """Arguments of the server. The operator adds those for the model, its name and the port."""
    env: Annotated[list[dict[str, Any]], Field(max_length=64)] = Field(default_factory=list)
    """Kubernetes EnvVar objects."""
    resources: dict[str, Any] = Field(default_factory=dict)
    """Kubernetes ResourceRequirements."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """The port on which the server answers."""
    probe: Probe | None = None
    """Instead of what the operator asks a new pod: chat completions, completions, embeddings and so on,
    whichever the server has first."""
    startup_deadline: Duration = "30m"
    """Loading a model is progress until then; afterwards the revision has failed to start."""
    drain: Drain = Drain()
    pod_template: dict[str, Any] = Field(default_factory=dict)
    """Overlay, merged by name over the pod template that the operator builds."""


class Prompts(Wire):
    """Prompts and templates are rolled out like weights: their content is part of the revision."""

    config_map: Name
    """Name of the ConfigMap that holds them, in the same namespace."""
