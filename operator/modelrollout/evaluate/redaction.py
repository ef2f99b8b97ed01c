"""What is taken out of texts that users wrote, before anything of them is stored."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import Field, field_validator

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.personal_data import redacted
from modelrollout.evaluate.scorer_specs import compiled
from modelrollout.evaluate.wire import Written

OWN = "[redacted]"
_KEPT = ("role", "case", "id")
"""Fields that are no texts of users."""


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    return compiled(pattern)


class Redaction(Written):
    """Which texts are replaced: personal data, and what one's own patterns match."""

    personal_data: bool = True
    """Mail addresses, telephone numbers, cards, accounts; needs the extra `safety`."""
    region: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    """Where telephone numbers without a country code are from."""
    patterns: tuple[str, ...] = Field(default=(), max_length=50)
    """Regular expressions in linear time, such as a form of customer numbers."""

    @field_validator("patterns")
    @classmethod
    def _readable(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            _compiled(pattern)
        return patterns

    def text(self, text: str) -> str:
        """The text without them. Raises Mistaken when the extra is missing."""
        for pattern in self.patterns:
            text = str(_compiled(pattern).sub(OWN, text))
        if not self.personal_data:
            return text
        try:
            return redacted(text, self.region)
        except ModuleNotFoundError as error:
            raise Mistaken(
                [
                    f"Redaction of personal data needs {error.name}; run pip install 'modelrollout[safety]', "
                    "or write redact: {personalData: false, patterns: [...]}."
                ]
            ) from error

    def clean(self, value: Any) -> Any:
        """The same value with every text in it redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.clean(part) for part in value]
        if isinstance(value, dict):
            return {key: part if key in _KEPT else self.clean(part) for key, part in value.items()}
        return value
