"""`modelrollout convert` as a command, and a survey of what others' documentation shows."""

import json

import pytest
import yaml

from modelrollout.cli import main
from modelrollout.cli.conversion.plan import seconds_of, written
from tests import foreign
from tests.unit.cli.foreign_manifests import BACKGROUND, SUCCESS_RATE, rollout, template

PAGE = """
# A tutorial
```yaml
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  provider: istio
  service: {gateways: [public]}
  analysis: {interval: 1m, stepWeight: 10, maxWeight: 50}
```
```yaml
kind: Rollout
apiVersion: argoproj.io/v1alpha1
spec: {strategy: {canary: {steps: [{setWeight: 20}]}}}
```
```yaml
- [a fragment
```
    kubectl apply -f - <<EOF
    apiVersion: serving.kserve.io/v1beta1
    kind: InferenceService
    metadata: {name: iris}
    spec: {predictor: {sklearn: {storageUri: "gs://models/iris"}}}
    EOF
"""


def test_a_survey_of_documentation_counts_what_becomes_of_each_of_its_objects(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    assert foreign.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("has no equal: docs/page.md, InferenceService iris: spec.predictor")
    assert said[-1].endswith("{'accepted': 2, 'has no equal': 1}")


def test_the_command_prints_what_it_made_and_says_the_rest_on_stderr(tmp_path, capsys):
    file = tmp_path / "all.yaml"
    refused = rollout({"canary": {}}, template=template(args=[]))
    file.write_text(yaml.safe_dump_all([rollout({"canary": BACKGROUND}), SUCCESS_RATE, refused]))
    assert main(["convert", "-f", str(file), "-o", "json"]) == 1
    streams = capsys.readouterr()
    (made,) = json.loads(streams.out)
    assert made["metadata"] == {"name": "chat", "namespace": "ml"}
    assert "Rollout chat: refused: spec.template.spec.containers[0].args" in streams.err
    file.write_text(yaml.safe_dump(rollout({"canary": BACKGROUND})))
    assert main(["convert", "-f", str(file)]) == 0
    file.write_text("kind: Service")
    assert main(["convert", "-f", str(file)]) == 2


@pytest.mark.parametrize(
    ("given", "seconds"), [(90, 90), ("90", 90), ("1m30s", 90), ("1.5h", 5400), ("soon", None), ("500ms", 0)]
)
def test_lengths_of_time_are_read_as_others_write_them(given, seconds):
    assert seconds_of(given) == seconds
    if seconds:
        assert seconds_of(written(seconds)) == seconds
