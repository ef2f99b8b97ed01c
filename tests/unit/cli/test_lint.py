"""`modelrollout lint` says what the API server says, of each row that the API server is asked about."""

import json

import pytest
import yaml

from modelrollout.api import crd
from modelrollout.api.admission import refusals
from modelrollout.api.cel import CelError, compiled, evaluate
from modelrollout.cli import main
from modelrollout.cli.lint import findings
from tests.apiserver.manifests import GOOD, but, steps
from tests.apiserver.test_crd import ACCEPTED
from tests.apiserver.test_crd_refusals import REFUSED
from tests.bed.folders import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))


@pytest.mark.parametrize(("manifest", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_lint_refuses_what_the_api_server_refuses_with_the_same_words(manifest, words):
    said = refusals(manifest)
    assert any(words in each for each in said), said


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_the_api_server_accepts_is_accepted(manifest):
    assert refusals(manifest) == []


@pytest.mark.parametrize(("command", "words"), [("kill", "is the kill switch"), ("abort", "is an order")])
def test_a_command_in_a_file_is_advised_against_because_it_is_given_at_each_apply(command, words):
    meta = GOOD["metadata"] | {"annotations": {f"modelrollout.io/{command}": "true"}}
    said = [each.message for each in findings("file", GOOD | {"metadata": meta}) if each.level == "advice"]
    assert any(words in each for each in said), said


def test_one_mistake_brings_one_sentence():
    assert len(refusals(steps({"weight": 5, "for": "soon"}))) == 1
    assert len(refusals(but(analysis__falseRevertRisk="low"))) == 1


def test_every_rule_of_the_crd_can_be_read():
    def rules(node):
        if isinstance(node, dict):
            yield from node.get("x-kubernetes-validations", ())
            for part in node.values():
                yield from rules(part)

    found = list(rules(crd.resource_schema()))
    assert len(found) > 40
    for rule in found:
        compiled(rule["rule"])
        compiled(rule.get("messageExpression", "true == true"))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 == 7 && !(2 > 3)", True),
        ("7 / 2", 3),
        ("-1" if False else "0 - 7 / 2", -3),
        ("has(self.a) ? self.a : 5", 5),
        ("self.list.filter(x, x > 1).map(x, x * 2)", [4, 6]),
        ("self.list.exists_one(x, x == 2) && self.list.all(x, x > 0)", True),
        ("[3, 1].isSorted()", False),
        ("'it\\'s %d of %s'.format([2, self.list])", "it's 2 of [1, 2, 3]"),
        ("'b' in ['a', 'b'] && size('abc') == 3", True),
        ("duration('1h30m') > duration('60s')", True),
        ("self.__for__.matches('^[0-9]+m$')", True),
    ],
)
def test_expressions_have_the_value_that_cel_gives_them(expression, value):
    assert evaluate(expression, self={"list": [1, 2, 3], "for": "10m"}) == value


@pytest.mark.parametrize("expression", ["self.a.b", "self.x.lowerAscii()", "now()", "1 +", "a ? b"])
def test_what_is_not_known_of_cel_is_an_error_and_never_true(expression):
    with pytest.raises(CelError):
        evaluate(expression, self={"x": "A"}, a=True, b=True)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_our_own_examples_are_accepted(file, capsys):
    assert main(["lint", "-f", str(file)]) == 0, capsys.readouterr().out


def levels(manifest):
    return {finding.level: finding.message for finding in findings("x.yaml", manifest)}


def test_an_unknown_metric_of_a_pack_is_impossible():
    assert "impossible" in levels(but(analysis__metrics=[{"use": "vllm/no-such-thing"}]))


def test_an_unknown_server_is_impossible():
    assert "impossible" in levels(but(runtime__server="tgi"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "write a commit"),
        ({"runtime__image": "vllm/vllm-openai"}, "whatever that tag names"),
        ({"runtime__image": "registry:5000/vllm:latest"}, "whatever that tag names"),
        ({"model__revision": "4c44", "rollbackWindow": "0s"}, "nothing is kept warm"),
    ],
)
def test_what_is_hardly_meant_brings_advice(changes, words):
    assert words in " ".join(each.message for each in findings("x.yaml", but(**changes)))


def test_a_pinned_manifest_brings_no_advice():
    assert findings("x.yaml", but(model__revision="4c446470ba0a")) == []


def test_the_exit_code_tells_a_refusal_from_advice_and_from_no_manifest(tmp_path, capsys):
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump_all([GOOD, {"kind": "Service"}]))
    assert main(["lint", "-f", str(file)]) == 0
    assert main(["lint", "-f", str(file), "--strict"]) == 1
    capsys.readouterr()
    file.write_text(yaml.safe_dump(but(replicas=0)))
    assert main(["lint", "-f", str(file), "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["level"] == "refused"
    file.write_text("kind: Service")
    assert main(["lint", "-f", str(file)]) == 2
    assert "holds no ModelRollout" in capsys.readouterr().err
