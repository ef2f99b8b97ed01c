"""Rules on the model, its runtime and its registry."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import model, registry, wire
from modelrollout.api.names import PREFIX
from modelrollout.api.rules.rule import Rule, at_least, literal


def ours(flag: str, field: str) -> Rule:
    """Of a vLLM: a flag that the operator writes. Its words are joined by dashes or underscores."""
    spelled = "^--" + flag.removeprefix("--").replace("-", "[-_]") + "(=|$)"
    return Rule(
        f"""has(self.server) && self.server != 'vllm' || !has(self.args)
            || !self.args.exists(a, a.matches({literal(spelled)}))""",
        f"leave {flag} out of args: the operator writes it from {field}",
    )


ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
    model.Model: (
        Rule(
            "!has(self.servedName) || !has(self.adapters) || self.adapters.all(a, a.name != self.servedName)",
            "an adapter has the base model's name, and clients choose by name: give it another name",
        ),
        Rule(
            """!has(self.revision) || !self.uri.startsWith('mlflow://')
                && !(self.uri.startsWith('hf://') && self.uri.contains('@'))""",
            "uri and revision both say which version: write the branch behind @ in uri or the commit in "
            "revision, and no revision with mlflow://",
        ),
    ),
    model.Runtime: (
        ours("--model", "model.uri"),
        ours("--revision", "model.revision"),
        ours("--served-model-name", "model.servedName and model.servedNames"),
        ours("--port", "runtime.port"),
    ),
    registry.Registry: (
        Rule(
            "!has(self.interval) || " + at_least("self.interval", "duration('10s')"),
            "a registry is asked every ten seconds at most: write 10s or more",
        ),
    ),
}
"""Model -> rules on the object, in the order in which they are said."""


POD_LABELS = Rule(
    f"!has(self.labels) || self.labels.all(label, !label.startsWith('{PREFIX}'))",
    f"the operator tells revisions apart by the labels {PREFIX}…: leave them out of the pod template",
)
