"""An OpenFeature provider: an application asks which arm a user is in, and hears what the gateway will do.

    from openfeature import api
    from modelrollout.openfeature import ModelRolloutProvider

    api.set_provider(ModelRolloutProvider(weight=lambda rollout: 50))
    client = api.get_client()
    client.get_string_value("chat", "stable", EvaluationContext(targeting_key="u17"))  # stable or canary

A flag has the name of a rollout. `weight` gives the rollout's percent of canary users, or None where it does
not know the rollout. It comes with `pip install modelrollout[openfeature]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from modelrollout.api.names import Role
from modelrollout.experiment.assignment import arm_of


class ModelRolloutProvider(AbstractProvider):
    """Answers with the arm as a text, or with whether it is the canary as true or false."""

    def __init__(self, weight: Callable[[str], int | None], salt: str | None = None) -> None:
        """`salt` of the hash; the rollout's name where it is left out."""
        super().__init__()
        self._weight, self._salt = weight, salt

    def get_metadata(self) -> Metadata:
        return Metadata("modelrollout")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        arm = self._arm(flag_key, evaluation_context)
        return FlagResolutionDetails(value=arm, variant=arm, reason=Reason.SPLIT)

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        arm = self._arm(flag_key, evaluation_context)
        return FlagResolutionDetails(value=arm == "canary", variant=arm, reason=Reason.SPLIT)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        raise TypeMismatchError(_ASK_OTHERWISE)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        raise TypeMismatchError(_ASK_OTHERWISE)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        raise TypeMismatchError(_ASK_OTHERWISE)

    def _arm(self, rollout: str, context: EvaluationContext | None) -> Role:
        weight = self._weight(rollout)
        if weight is None:
            raise FlagNotFoundError(f'No rollout is called "{rollout}".')
        if context is None or not context.targeting_key:
            raise TargetingKeyMissingError("The user's name is needed as the targeting key.")
        return arm_of(context.targeting_key, self._salt or rollout, weight)


_ASK_OTHERWISE = "A rollout's flag is a text, stable or canary, or true for the canary."
