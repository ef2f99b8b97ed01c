"""The Deployment of a revision: what the server gets as arguments, where weights come from, what a user may
change."""

import json

import pytest

from modelrollout.serving.deployment import DRAIN_SOURCE, PROBE_SOURCE, deployment
from tests.unit.serving.given import REVISION, ROLLOUT, spec

NAMED = ["--served-model-name=chat", "--port=8000"]


def built(prompts_copy=None, **parts):
    return deployment(ROLLOUT, spec(**parts), REVISION, 2, prompts_copy)


def pod_of(body):
    return body["spec"]["template"]["spec"]


def server_of(body):
    (server,) = [each for each in pod_of(body)["containers"] if each["name"] == "server"]
    return server


@pytest.mark.parametrize(
    ("model", "runtime", "args"),
    [
        pytest.param({}, {}, ["--model=Qwen/Qwen3-8B", *NAMED], id="a Hugging Face model"),
        pytest.param(
            {"revision": "4c44647", "servedName": "qwen"},
            {"port": 9000},
            ["--model=Qwen/Qwen3-8B", "--revision=4c44647", "--served-model-name=qwen", "--port=9000"],
            id="a pinned one under its own name and port",
        ),
        pytest.param(
            {"uri": "s3://models/qwen3"},
            {},
            ["--model=s3://models/qwen3", "--load-format=runai_streamer", *NAMED],
            id="streamed from S3",
        ),
        pytest.param(
            {"uri": "gs://models/qwen3"},
            {"args": ["--load_format=runai_streamer_sharded", "--max-model-len", "8192"]},
            [
                "--model=gs://models/qwen3",
                *NAMED,
                "--load_format=runai_streamer_sharded",
                "--max-model-len",
                "8192",
            ],
            id="a flag of the user is last and not repeated",
        ),
        pytest.param(
            {"uri": "pvc://weights/qwen3/v2"}, {}, ["--model=/models/qwen3/v2", *NAMED], id="on a claim"
        ),
        pytest.param({"uri": "pvc://weights"}, {}, ["--model=/models", *NAMED], id="the whole claim"),
        pytest.param({"uri": "file:///opt/tiny"}, {}, ["--model=/opt/tiny", *NAMED], id="in the image"),
        pytest.param(
            {
                "uri": "pvc://weights/base",
                "adapters": [
                    {"name": "law", "uri": "pvc://weights/law"},
                    {"name": "med", "uri": "pvc://tuned/med"},
                    {"name": "sql", "uri": "hf://org/sql-lora"},
                ],
            },
            {"args": ["--max-loras=4"]},
            [
                "--model=/models/base",
                *NAMED,
                "--enable-lora",
                "--lora-modules",
                "law=/models/law",
                "med=/adapters/tuned/med",
                "sql=org/sql-lora",
                "--max-loras=4",
            ],
            id="adapters on the same claim, another one and Hugging Face",
        ),
    ],
)
def test_the_arguments_say_where_the_model_is(model, runtime, args):
    assert server_of(built(model=model, runtime=runtime))["args"] == args


def test_an_adapter_that_vllm_cannot_load_is_refused_with_what_to_do():
    adapters = [{"name": "law", "uri": "s3://bucket/law"}]
    with pytest.raises(ValueError, match=r"adapter law lies at s3://bucket/law.*put it on a claim"):
        built(model={"adapters": adapters})


def test_claims_are_mounted_read_only_so_that_two_revisions_can_share_them():
    body = built(model={"uri": "pvc://weights/base", "adapters": [{"name": "med", "uri": "pvc://tuned/med"}]})
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]
        for volume in pod_of(body)["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = {
        mount["mountPath"]: (claims[mount["name"]], mount["readOnly"])
        for mount in server_of(body)["volumeMounts"]
        if mount["name"] in claims
    }
    assert mounts == {
        "/models": ({"claimName": "weights", "readOnly": True}, True),
        "/adapters/tuned": ({"claimName": "tuned", "readOnly": True}, True),
    }


def test_the_image_starts_by_itself_unless_a_command_is_given():
    assert "command" not in server_of(built())
    assert server_of(built(runtime={"command": ["serve"]}))["command"] == ["serve"]


def test_prompts_are_mounted_from_the_revisions_own_copy():
    body = built(prompts_copy="chat-5d41402abc")
    assert {"name": "prompts", "configMap": {"name": "chat-5d41402abc"}} in pod_of(body)["volumes"]
    mount = {"name": "prompts", "mountPath": "/prompts", "readOnly": True}
    assert mount in server_of(body)["volumeMounts"]
    assert mount not in server_of(built())["volumeMounts"]


def test_it_belongs_to_its_rollout_and_selects_only_its_revision():
    body = built()
    assert body["metadata"]["name"] == "chat-5d41402abc"
    assert body["metadata"]["namespace"] == "ml"
    assert [owner["uid"] for owner in body["metadata"]["ownerReferences"]] == [ROLLOUT["metadata"]["uid"]]
    selected = body["spec"]["selector"]["matchLabels"]
    assert selected == {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": REVISION}
    assert selected.items() <= body["spec"]["template"]["metadata"]["labels"].items()


def test_a_name_too_long_for_a_label_is_refused():
    rollout = ROLLOUT | {"metadata": ROLLOUT["metadata"] | {"name": "c" * 60}}
    with pytest.raises(ValueError, match="shorten the ModelRollout's name"):
        deployment(rollout, spec(), REVISION, 1, None)


@pytest.mark.parametrize(("deadline", "failures"), [("30m", 900), ("5s", 3), ("0s", 1)])
def test_loading_may_take_as_long_as_the_startup_deadline(deadline, failures):
    body = built(runtime={"startupDeadline": deadline})
    probe = server_of(body)["startupProbe"]
    assert (probe["failureThreshold"], probe["periodSeconds"]) == (failures, 2)
    assert probe["failureThreshold"] * probe["periodSeconds"] >= body["spec"]["progressDeadlineSeconds"] >= 1


def probe_of(body):
    """Arguments of the startup probe's source, by name."""
    command = server_of(body)["startupProbe"]["exec"]["command"]
    assert command[:4] == ["python3", "-IS", "-c", PROBE_SOURCE]
    port, patience, log, key, questions = command[4:]
    assert (patience, log) == ("30", "/dev/termination-log")
    return {"port": port, "key": key, "questions": json.loads(questions)}


def test_ready_means_that_the_first_api_that_there_is_answers_under_the_clients_name():
    probe = probe_of(built(model={"servedName": "qwen"}, runtime={"port": 9000}))
    assert (probe["port"], probe["key"]) == ("9000", "VLLM_API_KEY")
    assert [each["path"] for each in probe["questions"]][:3] == [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
    ]
    assert {each["body"]["model"] for each in probe["questions"]} == {"qwen"}


@pytest.mark.parametrize("body", [{"input": "Hello"}, None], ids=["posted", "got"])
def test_the_users_own_question_is_asked_instead(body):
    own = {"path": "/v2/health/ready", **({"body": body} if body else {})}
    assert probe_of(built(runtime={"probe": own}))["questions"] == [
        {"path": "/v2/health/ready", "body": body}
    ]


def test_the_probe_has_time_for_two_slow_answers():
    probe = server_of(built())["startupProbe"]
    assert probe["timeoutSeconds"] > 2 * float(probe["exec"]["command"][5])


def test_streams_may_end_before_the_server_gets_the_signal_to():
    body = built(runtime={"drain": {"timeout": "10m"}})
    assert server_of(body)["lifecycle"]["preStop"]["exec"]["command"][3:] == [
        DRAIN_SOURCE,
        "8000",
        "600",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
    ]
    assert pod_of(body)["terminationGracePeriodSeconds"] > 600


def test_the_kubelet_expands_nothing_in_the_scripts():
    assert "$(" not in PROBE_SOURCE + DRAIN_SOURCE


def test_a_service_called_vllm_cannot_break_the_server():
    assert pod_of(built())["enableServiceLinks"] is False


def test_the_users_pod_template_wins_but_cannot_take_the_selectors_labels_away():
    body = built(
        runtime={
            "env": [{"name": "HF_HOME", "value": "/cache"}],
            "podTemplate": {
                "metadata": {"labels": {"team": "search", "modelrollout.io/revision": "mine"}},
                "spec": {
                    "nodeSelector": {"gpu": "h100"},
                    "containers": [
                        {
                            "name": "server",
                            "env": [{"name": "HF_HOME", "value": "/mnt"}],
                            "startupProbe": {"httpGet": {"path": "/health", "port": "http"}},
                        }
                    ],
                },
            },
        }
    )
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert (labels["team"], labels["modelrollout.io/revision"]) == ("search", REVISION)
    assert pod_of(body)["nodeSelector"] == {"gpu": "h100"}
    assert {"name": "HF_HOME", "value": "/mnt"} in server_of(body)["env"]
    assert {"name": "HF_HOME", "value": "/cache"} not in server_of(body)["env"]
    assert set(server_of(body)["startupProbe"]) & {"exec", "httpGet"} == {"httpGet"}


def test_a_gateway_never_finds_a_kept_connection_closed_unless_the_user_wants_it_so():
    longer_than_envoy_keeps_it = {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "4000"}
    assert server_of(built())["env"] == [longer_than_envoy_keeps_it]
    own = {"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": "60"}
    assert server_of(built(runtime={"env": [own]}))["env"] == [own]


def test_a_pod_template_without_metadata_still_has_the_selectors_labels():
    body = built(runtime={"podTemplate": {"metadata": None}})
    born = {"modelrollout.io/rotation": "in"}
    assert body["spec"]["template"]["metadata"]["labels"] == body["spec"]["selector"]["matchLabels"] | born


def test_building_leaves_the_spec_as_it_was():
    given = spec(runtime={"podTemplate": {"metadata": {"labels": {"team": "search"}}}})
    before = given.model_copy(deep=True)
    assert deployment(ROLLOUT, given, REVISION, 2, None) == deployment(ROLLOUT, given, REVISION, 2, None)
    assert given == before
