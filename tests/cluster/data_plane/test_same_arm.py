"""A user is in one arm, whoever is asked: the gateway, an application through OpenFeature, the outcome log.

`make bench-arms` asks for 10,000 users.
"""

import http.client
import os
from concurrent.futures import ThreadPoolExecutor

from openfeature.evaluation_context import EvaluationContext

from modelrollout.experiment import outcomes
from modelrollout.experiment.assignment import header_value
from modelrollout.experiment.plan import Experiment
from modelrollout.openfeature import ModelRolloutProvider
from modelrollout.traffic.router import Split
from tests.cluster.data_plane.stage import CANARY, STABLE, THREADS, Stage

USERS = [f"user-{number}" for number in range(int(os.environ.get("SAME_ARM_USERS", "800")))]
WEIGHTS = (10, 25, 50)
ARMS = {STABLE: "stable", CANARY: "canary"}


def test_a_user_is_in_the_same_arm_by_gateway_provider_and_log_while_the_weight_grows(staged):
    stage, before = staged("HTTPRoute", sticky={"header": "x-cohort"}), set()
    for weight in WEIGHTS:
        stage.move(Split(weight))
        arms = by_gateway(stage)
        assert by_provider(weight) == arms
        assert by_log(weight) == arms
        canary = {user for user, arm in arms.items() if arm == "canary"}
        assert before < canary, "nobody goes back while the weight grows"
        assert abs(len(canary) / len(USERS) - weight / 100) < 0.05
        before = canary
        print(f"{weight} %: {len(USERS):,} users, {len(canary):,} on the canary, none in two arms")


def by_gateway(stage: Stage):
    """The arm whose pod answered, for each user."""

    def asked(users):
        connection = http.client.HTTPConnection(stage.address, timeout=10)
        found = {user: stage.answer(connection, {"X-Cohort": header_value(user, "chat")}) for user in users}
        connection.close()
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(asked, (USERS[part::THREADS] for part in range(THREADS)))
    answers = {user: arm for part in parts for user, arm in part.items()}
    return {user: ARMS.get(answer, answer) for user, answer in answers.items()}


def by_provider(weight):
    provider = ModelRolloutProvider(weight=lambda _: weight)

    def arm(user):
        return provider.resolve_string_details("chat", "stable", EvaluationContext(targeting_key=user)).value

    return {user: arm(user) for user in USERS}


def by_log(weight):
    """From rows that name no arm."""
    metric = {"name": "kept", "baseline": "10%", "effect": "5%"}
    experiment = Experiment.model_validate(
        {"name": "tone", "salt": "chat", "split": weight, "metric": metric}
    )
    rows = ((f"line {line}", {"user": user, "time": line}) for line, user in enumerate(USERS))
    return {user: each.arm for user, each in outcomes.read(rows, experiment).users.items()}
