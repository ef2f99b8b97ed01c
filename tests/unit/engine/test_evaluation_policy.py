"""What of a policy in the cluster a person has to put right, before any Job is made of it."""

import asyncio

import pytest

from modelrollout.api.evaluations import Evaluation
from modelrollout.api.mistakes import Mistaken
from modelrollout.api.objects import CONFIG_MAP, named
from modelrollout.engine.evaluations.policy import dataset_of
from modelrollout.serving.evaluation import DatasetVolume
from tests.shared.memory_cluster import MemoryCluster

GOLDEN = Evaluation.model_validate({"name": "golden", "policy": {"configMap": "quality"}})
GATES = "scorers: [{name: correct, kind: exact}]\ngates: [{score: correct, atMostWorse: 5%}]\n"


def found(quality=None, cases=None, alone=False):
    """What is found of ConfigMaps with these files."""

    async def ask():
        cluster = MemoryCluster()
        for name, data in (("quality", quality), ("cases", cases)):
            if data is not None:
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
                await cluster.create(named(CONFIG_MAP, name), "ml", body)
        return await dataset_of(cluster, "ml", GOLDEN, alone=alone)

    return asyncio.run(ask())


def policy(dataset, gates=GATES, **files):
    return {"quality.yaml": f"dataset: {dataset}\n{gates}", **files}


@pytest.mark.parametrize(
    ("dataset", "cases", "volume"),
    [
        ("golden.jsonl", None, None),
        ("'http://cases/golden.jsonl'", None, None),
        ("{configMap: cases}", {"a.jsonl": ""}, DatasetVolume("a.jsonl", config_map="cases")),
        (
            "{configMap: cases, key: b.jsonl}",
            {"a.jsonl": "", "b.jsonl": ""},
            DatasetVolume("b.jsonl", config_map="cases"),
        ),
        ("{pvc: data, path: /sets/a.jsonl}", None, DatasetVolume("sets/a.jsonl", claim="data")),
    ],
)
def test_where_the_cases_are(dataset, cases, volume):
    assert found(policy(dataset, **{"golden.jsonl": ""}), cases) == volume


@pytest.mark.parametrize(
    ("quality", "cases", "said"),
    [
        (None, None, "There is no ConfigMap quality in namespace ml"),
        ({}, None, "ConfigMap quality has no quality.yaml; it has nothing"),
        ({"policy.yaml": ""}, None, "has no quality.yaml; it has policy.yaml"),
        ({"quality.yaml": "["}, None, "quality.yaml: It is no YAML"),
        (policy("golden.jsonl"), None, "The dataset golden.jsonl is not in ConfigMap quality"),
        (policy("{configMap: cases}"), None, "There is no ConfigMap cases"),
        (policy("{configMap: cases}"), {"a": "", "b": ""}, "ConfigMap cases has 2 files: name the dataset's"),
        (policy("{configMap: cases, key: c}"), {"a": ""}, "ConfigMap cases has no c"),
        (policy("{pvc: data, path: ../../etc/passwd}"), None, "leads out of its volume"),
    ],
)
def test_each_mistake_is_a_sentence(quality, cases, said):
    with pytest.raises(Mistaken) as refused:
        found(quality, cases)
    assert said in " ".join(refused.value.sentences)


PAIRS = "scorers: [{name: better, kind: pairwise-judge, endpoint: 'http://j'}]\n"
PAIRS += "gates: [{score: better, atLeast: 45%}]\n"


@pytest.mark.parametrize("comparing", [GATES, PAIRS])
def test_a_revision_that_is_asked_alone_needs_a_limit_of_its_own(comparing):
    files = {"golden.jsonl": ""}
    with pytest.raises(Mistaken) as refused:
        found(policy("golden.jsonl", comparing, **files), alone=True)
    assert "such as atLeast: 80%" in refused.value.sentences[0]
    limit = GATES.replace("atMostWorse: 5%", "atLeast: 80%")
    assert found(policy("golden.jsonl", limit, **files), alone=True) is None
