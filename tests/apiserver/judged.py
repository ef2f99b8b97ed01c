"""A rollout under judgement by a real operator and a real Prometheus, with arms to make good or bad."""

import contextlib

from tests.apiserver.arms import Arm
from tests.apiserver.process import Operator
from tests.apiserver.scene import http_route, rollout, service

METRIC = {"use": "http/success-rate", "tolerate": {"absolute": "0.05"}}
HALF = [{"weight": 50}]


class Judged:
    """A rollout under judgement: its scene, both arms' servers, Prometheus and the operator."""

    def __init__(self, scene, prometheus, operator):
        self.scene, self.prometheus, self.operator = scene, prometheus, operator
        self.arms = contextlib.ExitStack()

    def begin(self, steps=HALF, traffic=None, **analysis):
        self.scene.add(service(), http_route())
        settings = {
            "prometheus": {"address": self.prometheus.url, "timeout": "2s"},
            "interval": "2s",
            "warmUp": "0s",
            "metrics": [METRIC],
            **analysis,
        }
        self.scene.install(rollout(steps=steps, traffic=traffic, analysis=settings))
        self.control, self.canary = (self.arms.enter_context(Arm()) for _ in range(2))
        stable = self.scene.status()["stable"]["revision"]
        self.scene.change_model("hf://test/two")
        trial = self.scene.wait(lambda status: status.get("canary"))["canary"]["revision"]
        self.prometheus.set_targets(
            [(self.control.address, self.labels(stable)), (self.canary.address, self.labels(trial))]
        )
        self.prometheus.wait_scraped(2, rollout="chat")

    def labels(self, revision):
        return {
            "namespace": self.scene.namespace,
            "rollout": "chat",
            "revision": revision,
            "pod": f"chat-{revision}",
        }

    def looks(self):
        return (self.scene.status().get("analysis") or {}).get("looks", 0)


@contextlib.contextmanager
def judging(plane, scene, prometheus, folder):
    namespace = scene.namespace
    with Operator(plane, folder, namespaces=[namespace], lease=namespace) as operator:
        operator.wait_ready()
        judged = Judged(scene, prometheus, operator)
        with judged.arms:
            yield judged
