"""What a policy may say of a scorer: one model for each kind, and the table of kinds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import re2
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from modelrollout.api.mistakes import meant
from modelrollout.evaluate.amounts import Seconds
from modelrollout.evaluate.phrases import SETS
from modelrollout.evaluate.wire import Written

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class ScorerSpec(Written):
    """What all kinds share. A score lies between `low` and `high`; `good` means that more is better."""

    name: Name
    kind: str
    better: Literal["higher", "lower"] | None = None
    """Overrides the kind's own direction, as for refusals of forbidden questions."""

    @property
    def good(self) -> bool:
        return self.kind not in LOWER_IS_BETTER if self.better is None else self.better == "higher"

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @property
    def paired(self) -> bool:
        """Whether the score is the candidate's share of a win over the baseline."""
        return False

    @property
    def joint(self) -> bool:
        """Whether it is one value about both answers, instead of one for each."""
        return self.paired

    @property
    def judged(self) -> bool:
        return False


LOWER_IS_BETTER = {"phrases", "toxicity", "personal-data", "injection"}


class Exact(ScorerSpec):
    kind: Literal["exact"]
    ignore_case: bool = True
    ignore_space: bool = True
    ignore_punctuation: bool = False


class Contains(ScorerSpec):
    kind: Literal["contains"]
    match: Literal["any", "all"] = "any"
    """Of several expected texts."""
    ignore_case: bool = True


class Regex(ScorerSpec):
    kind: Literal["regex"]
    pattern: str = Field(max_length=2000)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        compiled(pattern)
        return pattern


class Json(ScorerSpec):
    kind: Literal["json"]


class JsonSchema(ScorerSpec):
    kind: Literal["json-schema"]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """Without it, each case brings its own `schema`."""


class Numeric(ScorerSpec):
    kind: Literal["numeric"]
    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=1e-6, ge=0)


class Overlap(ScorerSpec):
    kind: Literal["f1", "em", "rouge-l", "bleu", "chrf"]


class Code(ScorerSpec):
    kind: Literal["code"]
    k: int = Field(default=1, ge=1, le=100)
    timeout: Seconds = 10.0
    memory_mib: int = Field(default=512, ge=64, le=8192)


class Length(ScorerSpec):
    kind: Literal["length"]
    least: int = Field(default=1, ge=0)
    most: int | None = None
    unit: Literal["words", "characters"] = "words"


class Keywords(ScorerSpec):
    kind: Literal["keywords"]
    words: tuple[str, ...] = ()
    """Without them, each case brings its own `keywords`."""


class Phrases(ScorerSpec):
    kind: Literal["phrases"]
    set_: str | None = Field(default=None, alias="set")
    words: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> Phrases:
        if self.set_ is not None and self.set_ not in SETS:
            listed = ", ".join(sorted(SETS))
            raise ValueError(f'there is no set "{self.set_}"; the sets are {listed}{meant(self.set_, SETS)}')
        if self.set_ is None and not self.words:
            raise ValueError("phrases need a `set`, such as refusal, or `words` of your own")
        return self


class Retrieval(ScorerSpec):
    kind: Literal["citations", "faithfulness"]


class Ranking(ScorerSpec):
    kind: Literal["hit-rate", "mrr"]
    k: int = Field(default=10, ge=1)


class ToolCall(ScorerSpec):
    kind: Literal["tool-call"]
    arguments: bool = True
    """Compare the arguments too, not only which tool is called."""


class Similarity(ScorerSpec):
    kind: Literal["similarity"]
    to: Literal["expected", "baseline"] = "expected"
    """The text that the answer is compared with: an expected one, or the baseline's answer."""

    @property
    def joint(self) -> bool:
        return self.to == "baseline"


class Toxicity(ScorerSpec):
    kind: Literal["toxicity"]
    threshold: float = Field(default=0.8, gt=0, lt=1)


class PersonalData(ScorerSpec):
    kind: Literal["personal-data"]
    region: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    """Where telephone numbers without a country code are from."""
    allow: tuple[str, ...] = ()
    """Texts that may stand in an answer, such as your own hotline."""


class Injection(ScorerSpec):
    kind: Literal["injection"]
    canaries: tuple[str, ...] = ()
    """Besides each case's own `canaries`."""


class Perplexity(ScorerSpec):
    kind: Literal["perplexity"]

    @property
    def good(self) -> bool:
        return False


class Endpoint(Written):
    """A judge, or another service that scores."""

    endpoint: str = Field(pattern=r"^https?://[^\s]+$")
    model: str | None = None
    api_key_env: str | None = None
    """The name of the environment variable that holds the key; the key itself stands in no policy."""


class _Judging(ScorerSpec):
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    model: str | None = None
    api_key_env: str | None = None
    judges: tuple[Endpoint, ...] = Field(default=(), max_length=9)
    """Several judges; their scores are averaged."""
    rubric: str = "Is the answer correct, complete and helpful?"
    prompt: str | None = None
    """The version of the judge's prompt; the newest one where it is left out."""
    max_tokens: int = Field(default=512, ge=16)
    timeout: Seconds = 120.0

    @model_validator(mode="after")
    def _somebody_judges(self) -> _Judging:
        if self.endpoint is None and not self.judges:
            raise ValueError(
                f'the judge "{self.name}" has no endpoint; write `endpoint: http://judge:8000/v1`, or a list '
                "`judges`"
            )
        if self.endpoint is not None and self.judges:
            raise ValueError("give either `endpoint` or `judges`, not both")
        return self

    @property
    def judged(self) -> bool:
        return True

    @property
    def panel(self) -> tuple[Endpoint, ...]:
        if self.judges:
            return self.judges
        single = {"endpoint": self.endpoint, "model": self.model, "api_key_env": self.api_key_env}
        return (Endpoint.model_validate(single),)


class Judge(_Judging):
    kind: Literal["judge"]
    scale: tuple[float, float] = (1.0, 5.0)
    twice: float = Field(default=0.2, ge=0, le=1)
    """The share of cases whose baseline answer is judged twice, which measures the judge's own noise."""

    @field_validator("scale")
    @classmethod
    def _rises(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not scale[0] < scale[1]:
            raise ValueError(f"the scale {list(scale)} must rise; write the worst mark first, such as [1, 5]")
        return scale

    @property
    def bounds(self) -> tuple[float, float]:
        return self.scale


class PairwiseJudge(_Judging):
    kind: Literal["pairwise-judge"]

    @property
    def paired(self) -> bool:
        return True


class Http(ScorerSpec):
    kind: Literal["http"]
    url: str = Field(pattern=r"^https?://[^\s]+$")
    api_key_env: str | None = None
    timeout: Seconds = 30.0


class Python(ScorerSpec):
    kind: Literal["python"]
    entry_point: str = Field(pattern=r"^[\w.-]+$|^[\w.]+:[\w.]+$")
    """`package.module:function`, or the name of an installed entry point of the group modelrollout.scorers.
    The function takes a case and an answer and returns 0 to 1, or None; it may be asynchronous."""
    timeout: Seconds = 30.0
    """For each answer."""


_KINDS: dict[str, type[ScorerSpec]] = {
    "exact": Exact,
    "contains": Contains,
    "regex": Regex,
    "json": Json,
    "json-schema": JsonSchema,
    "numeric": Numeric,
    **dict.fromkeys(("f1", "em", "rouge-l", "bleu", "chrf"), Overlap),
    "code": Code,
    "length": Length,
    "keywords": Keywords,
    "phrases": Phrases,
    **dict.fromkeys(("citations", "faithfulness"), Retrieval),
    **dict.fromkeys(("hit-rate", "mrr"), Ranking),
    "tool-call": ToolCall,
    "similarity": Similarity,
    "toxicity": Toxicity,
    "personal-data": PersonalData,
    "injection": Injection,
    "perplexity": Perplexity,
    "judge": Judge,
    "pairwise-judge": PairwiseJudge,
    "http": Http,
    "python": Python,
}


def compiled(pattern: str) -> Any:
    """The pattern in RE2, which takes linear time whatever the answer is. ValueError with a sentence."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"the pattern {pattern!r} is not understood: {why}; it is read by RE2, which knows no "
            "look-around and no back-references"
        ) from error


def _by_kind(given: Any) -> Any:
    if not isinstance(given, dict):
        raise ValueError(f"{given!r} was given, a mapping with `name` and `kind` is expected")
    kind = given.get("kind")
    if kind is None:
        raise ValueError(f"the scorer has no `kind`; the kinds are {', '.join(_KINDS)}")
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = meant(str(kind), _KINDS) or f"; the kinds are {', '.join(_KINDS)}"
        raise ValueError(f'there is no scorer of kind "{kind}"{hint}')
    return _KINDS[kind].model_validate(given if "name" in given else {"name": kind, **given})


AnyScorer = Annotated[SerializeAsAny[ScorerSpec], BeforeValidator(_by_kind)]
