"""KServe InferenceServices become what the CRD accepts, or are refused with the field that has no equal."""

import pytest

from modelrollout.cli.conversion import kserve
from modelrollout.cli.conversion.converted import Unconvertible, Wishes
from tests.unit.cli.foreign_manifests import MODEL, NO_WISHES, accepted, inference


def test_kserve_hugging_face_model():
    model = {"modelFormat": {"name": "huggingface"}, "storageUri": MODEL, "args": ["--max-model-len=4096"]}
    body = inference(model=model, minReplicas=2, canaryTrafficPercent=20, scaleTarget=1)
    made = accepted(kserve, body, wishes=Wishes(image="vllm/vllm-openai:v0.32.0"))
    assert made.spec["traffic"] == {"service": "qwen-predictor"}
    assert made.spec["model"] == {"uri": MODEL}
    for part in ("canaryTrafficPercent", "scaleTarget: has no equal", "the plan is 5, 25 and 50 %"):
        assert any(part in note for note in made.notes), part


def test_amounts_that_are_not_whole_numbers_become_text():
    """A pod takes 0.1 processors as a number, and a CRD does not."""
    model = {"storageUri": MODEL, "resources": {"requests": {"cpu": 0.1, "memory": "1Gi"}}}
    made = accepted(kserve, inference(model=model), wishes=Wishes(image="vllm/vllm-openai:v0.32.0"))
    assert made.spec["runtime"]["resources"] == {"requests": {"cpu": "0.1", "memory": "1Gi"}}


def test_kserve_is_refused_at_what_has_no_equal():
    with pytest.raises(Unconvertible, match=r"storageUri: oci://a/b has no equal"):
        kserve.convert(inference(model={"storageUri": "oci://a/b"}), [], Wishes(image="vllm:1"))
    with pytest.raises(Unconvertible, match=r"image: it names no image; give --image"):
        kserve.convert(inference(model={"storageUri": MODEL}), [], NO_WISHES)
    with pytest.raises(Unconvertible, match=r"neither model nor containers"):
        kserve.convert(inference(sklearn={"storageUri": "gs://a/b"}), [], NO_WISHES)
