"""The demo's last lines say what happened, from what was watched and counted."""

import math

import httpx

from modelrollout.api.spec import Spec
from modelrollout.api.status import (
    AnalysisStatus,
    MetricStatus,
    RevisionStatus,
    Status,
    StepStatus,
    WeightStatus,
)
from modelrollout.engine.writing.status_writer import dumped
from modelrollout.rollout.revision import describe
from tests.demo.report import evidence, revert, short, stage_of, steps, times, told_at
from tests.demo.scene import Scene
from tests.demo.servers import Pulled
from tests.demo.watch import WIDTH, Moment, Watch
from tests.load.http import Answer
from tests.load.tally import Tally


def moment(at, phase, weight):
    return Moment(at, phase, "1/4", weight, "", f"{phase} at {at}")


def test_the_way_back_is_timed_from_the_first_user_and_from_the_first_number():
    moments = [
        moment(90.0, "Starting", 0),
        moment(100.0, "Progressing", 5),
        moment(112.5, "Reverting", 0),
        moment(113.0, "Reverted", 0),
    ]
    lines = revert(moments, [[(98.0, 1.0), (101.0, 1.0), (104.0, 3.0), (107.0, 9.0)]])
    assert lines[0] == "  Reverted at 113.0", "the operator's own sentence comes before the figures"
    assert "first users on the bad revision → route back on stable: 12.5 s" in lines[1]
    assert "first of its numbers in Prometheus → route back on stable: 8.5 s" in lines[2]


def test_a_counter_that_grew_before_users_came_tells_nothing_of_them():
    assert math.isnan(told_at([[(90.0, 0.0), (95.0, 1.0), (105.0, 1.0)]], since=100.0))


def test_a_rollout_that_did_not_go_back_is_said_to():
    assert revert([moment(100.0, "Progressing", 5)], []) == ["  the bad revision was not reverted"]


def test_a_request_around_a_change_is_not_counted_to_either_side():
    tally = Tally()
    for tenth in range(100):
        at = tenth / 10
        # the route gave the canary users at 4.6 s, and the table heard of it at 5 s
        tally.add(
            Answer(at, "good: starting" if at < 5 else "good: 5 % on trial", revision=answered_by(at >= 4.6))
        )
    table = "\n".join(steps(tally, MODELS))
    assert "good: starting" in table
    assert "tiny-next" not in table.splitlines()[1]
    assert "tiny-next 100.0 %" in table.splitlines()[2]
    assert " 100 " in table.splitlines()[-1]


MODELS = {"aaa111": "file:///models/tiny on image", "bbb222": "file:///models/tiny-next on image"}


def answered_by(canary):
    """X-Model-Version, as the operator's routes write it."""
    return f"chat@{'bbb222' if canary else 'aaa111'}"


def test_a_revision_goes_by_the_name_of_its_model():
    assert [short(f"chat@{revision}", MODELS) for revision in ("aaa111", "bbb222")] == ["tiny", "tiny-next"]
    assert short("chat@ccc333", MODELS) == "chat@ccc333", "one that status never named is shown as it came"


def test_the_demo_reads_in_status_what_the_operator_writes_there():
    scene = Scene(Pulled("vllm:cpu"), ("gateway", "bed"), "http://prometheus:9090")
    (rollout,) = (each for each in scene.objects() if each["kind"] == "ModelRollout")
    first = describe(Spec.model_validate(rollout["spec"]))
    status = dumped(
        Status(
            phase="Progressing",
            message="At a step",
            stable=RevisionStatus(revision="aaa111", model=first),
            canary=RevisionStatus(revision="bbb222", model=first.replace("/tiny", "/tiny-next")),
            step=StepStatus(index=1, progress="2/4", entered_at="2026-11-21T09:00:00Z"),
            verdict="Insufficient",
            weight=WeightStatus(canary=25, desired=25),
            analysis=AnalysisStatus(
                verdict="Insufficient",
                metrics=[MetricStatus(name="errors", verdict="Proven", message="Few.")],
            ),
        )
    )
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": status}))
    watch = Watch(httpx.Client(transport=answer, base_url="http://api"), "/", lambda _: None)
    watch.until(lambda _: True, "anything", 1, lambda _: None)
    (seen,) = watch.moments
    assert (seen.phase, seen.step, seen.weight, seen.verdict, seen.message) == (
        *("Progressing", "2/4", 25, "Insufficient", "At a step"),
    )
    assert [short(f"chat@{revision}", watch.models) for revision in ("aaa111", "bbb222")] == [
        "tiny",
        "tiny-next",
    ]
    assert evidence(status) == ["  errors: Proven: Few."]


def test_the_table_says_what_share_of_users_is_on_trial_and_that_the_last_step_is_one():
    said = [stage_of(moment(0, phase, weight)) for phase, weight in
            (("Starting", 0), ("Progressing", 5), ("Progressing", 100), ("Watching", 0))]  # fmt: skip
    assert said == ["starting", "5 % on trial", "100 %, the last step", "watching"]


def test_a_long_message_goes_on_below_its_column_and_is_not_cut():
    line = Moment(0, "Progressing", "1/4", 5, "", "not decided yet " * 20).line()
    assert max(map(len, line.splitlines())) <= WIDTH
    assert " ".join(line.split()).count("not decided yet") == 20


def test_the_times_add_up():
    assert times([("building the bed", 0.01), ("cluster", 43.2), ("good one", 99.6)]) == (
        "Times: cluster 43 s, good one 1 min 40 s; 2 min 23 s in all"
    )
