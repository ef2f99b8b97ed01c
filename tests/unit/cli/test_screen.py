"""What `modelrollout get`, `list`, `history` and `diff` show of a status."""

import pytest

from modelrollout.cli.diff import change_of
from modelrollout.cli.diff import lines as diff_lines
from modelrollout.cli.get import change, patiently
from modelrollout.cli.screen.lines import ASCII, UNICODE, bar, marks_for, plain, spell
from modelrollout.cli.screen.output import shown, styled
from modelrollout.cli.screen.table import endings, fleet
from modelrollout.cli.screen.tree import Page, tree
from modelrollout.cluster.errors import Unreachable
from tests.screens import pictures
from tests.unit.cli.seen import JUDGING, NOW, PODS, judging, pod

WIDE = Page(NOW, 100, UNICODE)


def text(body, pods=PODS, page=WIDE):
    return plain(tree(body, pods, page))


def test_the_tree_says_what_was_asked_what_the_route_has_and_what_was_counted():
    assert "asked 25 %, route 25 %, counted 24.6%" in text(judging())
    assert "counted" not in text(judging(weight={}))
    assert "not counted yet" in text(judging(weight={"canary": 5, "desired": 5, "observed": 5}))


def test_the_tree_has_the_message_of_status_word_for_word():
    assert JUDGING in text(judging())


def test_each_step_is_passed_in_progress_or_to_come():
    lines = text(judging()).splitlines()
    assert "✔ 1. weight 5 % for 10m" in lines
    assert "▶ 2. weight 25 % for 10m, 10m so far" in lines
    assert "· 3. pause until a person passes it" in lines


def test_a_pod_in_trouble_is_listed_first_with_its_reason():
    pods = [line for line in text(judging()).splitlines() if ("chat-cccccccccc-" in line and "ready" in line)
            or "ImagePullBackOff" in line]  # fmt: skip
    assert "✖ chat-cccccccccc-2 ImagePullBackOff" in pods[0]
    assert "✔ chat-cccccccccc-1 ready" in pods[1]


def test_a_pod_that_only_loads_is_no_trouble():
    loading = [pod("chat-cccccccccc-1", "cccccccccc", ready=False, started=False)]
    assert "· chat-cccccccccc-1 NotAnsweredYet" in text(judging(), loading)


def test_many_pods_are_counted_and_not_listed():
    many = [pod(f"chat-bbbbbbbbbb-{n:02}", "bbbbbbbbbb") for n in range(20)]
    assert "and 12 more pods, 12 of them ready" in text(judging(), many)


def test_each_metric_has_a_bar_to_both_limits():
    (line,) = [line for line in text(judging()).splitlines() if "63%" in line]
    assert line.split() == ["pass", "█" * 12 + "░" * 8, "63%", "revert", "░" * 20, "4%"]


def test_a_bar_is_full_only_at_the_limit():
    assert bar(0.999, 4, ASCII) == "###-"
    assert bar(1.0, 4, ASCII) == "####"
    assert bar(-1, 4, ASCII) == "----"


def test_the_time_to_a_decision_is_counted_from_now():
    assert "2026-11-28T09:06:00Z, in 6m at this pace" in text(judging())


def test_after_promotion_it_says_how_long_the_way_back_is_open():
    watching = judging(
        phase="Watching",
        canary=None,
        previous={"revision": "bbbbbbbbbb", "replicas": 2, "ready": 2},
        stable={"revision": "cccccccccc", "replicas": 2, "ready": 2},
        keepWarmUntil="2026-11-28T09:30:00Z",
    )
    assert "2026-11-28T09:30:00Z, for 30m" in text(watching)
    assert "Verdict" not in text(watching)


def test_an_object_that_no_operator_has_seen_is_shown_as_such():
    assert "not seen by an operator yet" in text(judging() | {"status": {}}, [])


@pytest.mark.parametrize("width", [32, 40, 60, 100, 200])
def test_no_line_is_longer_than_the_terminal(width):
    page = Page(NOW, width, ASCII)
    lines = text(judging(), PODS, page).splitlines()
    assert [line for line in lines if len(line) > max(width, 44)] == []
    assert plain(tree(judging(), PODS, page)).replace("→", "").isascii()


def test_an_encoding_without_box_letters_gets_plain_ones():
    assert marks_for("utf-8") == UNICODE
    assert marks_for("ascii") == marks_for("latin-1") == marks_for(None) == ASCII


def test_control_characters_of_others_never_reach_the_terminal():
    body = judging(message="one\x1b[31mtwo\nthree", analysis={"metrics": [
        {"name": "a\x1bb", "verdict": "Worse", "message": "c\x1bd"}]})  # fmt: skip
    assert "\x1b" not in text(body)
    assert "\x1b" not in plain(fleet([body], WIDE, namespaces=False))
    assert "\x1b" not in change(body)


def test_rich_prints_the_same_text():
    assert styled(tree(judging(), PODS, WIDE)).plain.split() == text(judging()).split()


def test_a_change_is_one_line_without_what_every_look_changes():
    assert change(judging()) == f"Progressing  step 2/4  weight 25 %  Insufficient  {JUDGING}"
    looks = judging()
    looks["status"]["analysis"]["looks"] += 1
    assert change(looks) == change(judging())


async def test_a_watch_outlives_an_api_server_that_does_not_answer_for_a_while():
    answers = [Unreachable("no answer"), Unreachable("no answer"), "seen"]

    async def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await patiently(ask, 0) == "seen"


def test_the_list_has_a_line_for_each_rollout_and_columns_under_each_other():
    lines = plain(
        fleet([judging(), judging(phase="Stable", canary=None)], WIDE, namespaces=True)
    ).splitlines()
    assert lines[0].split()[:3] == ["NAMESPACE", "NAME", "PHASE"]
    assert lines[1].split()[:4] == ["ml", "chat", "Progressing", "2/4"]
    assert {line.index("chat") for line in lines[1:]} == {lines[0].index("NAME", 5)}


def test_the_history_begins_with_the_newest_and_says_how_long_it_took():
    body = judging()
    body["status"]["history"].append(
        body["status"]["history"][0] | {"revision": "dddddddddd", "outcome": "Reverted"}
    )
    rows = plain(endings(body)).splitlines()[1:]
    assert rows[0].split()[1:3] == ["dddddddddd", "Reverted"]
    assert rows[1].split()[1:5] == ["bbbbbbbbbb", "Promoted", "Promoted", "90m"]


def test_a_diff_lists_each_change_of_the_revision_on_trial():
    said = plain(diff_lines(change_of(judging()))).splitlines()
    assert said[0].startswith("- bbbbbbbbbb")
    assert said[1].endswith("(on trial)")
    assert said[2:] == [
        "  model uri: hf://Qwen/Qwen3-8B → hf://Qwen/Qwen3-14B",
        "  args: + --max-model-len=8192",
    ]


def test_a_diff_after_promotion_compares_with_the_revision_that_is_still_warm():
    body = judging(canary=None, previous={"revision": "aaaaaaaaaa"})
    assert (change_of(body).before, change_of(body).after) == ("aaaaaaaaaa", "bbbbbbbbbb")
    assert change_of(judging(canary=None)) is None


def test_what_is_printed_as_json_has_no_managed_fields():
    assert "managedFields" not in shown(judging())["metadata"]
    assert list(shown(judging()))[:3] == ["apiVersion", "kind", "metadata"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0s"), (45, "45s"), (119, "119s"), (120, "2m"), (7199, "119m"), (9000, "2h30m"), (200000, "2d")],
)
def test_lengths_of_time_are_written_as_kubectl_does(seconds, words):
    assert spell(seconds) == words


@pytest.mark.parametrize(("file", "made"), list(pictures()), ids=lambda each: getattr(each, "name", ""))
def test_the_pictures_in_the_docs_are_what_the_command_shows(file, made):
    assert file.read_text("utf-8") == made, "run: python -m tests.screens"
