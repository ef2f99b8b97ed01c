"""The chart as text: what it renders, what its schema refuses, and that its parts mean the same names."""

import re

import pytest
import yaml

from modelrollout.api.names import REVISION_LABEL, ROLLOUT_LABEL
from modelrollout.serving.deployment import PORT_NAME
from modelrollout.settings import parse
from tests.apiserver.helm import CHART, OPERATOR, HelmError, flags, helm, rendered
from tests.bed.folders import REPOSITORY

EVERYTHING = {
    "watch.namespaces": ["prod", "staging"],
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "labels": {"grafana_dashboard": "1"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "scrapers": [{"namespaceSelector": {}}]},
    "imagePullSecrets": [{"name": "pull"}],
    "notify": {"secret": "chat", "when": ["waiting"], "secrets": ["team"], "allowed": ["*.corp.example"]},
    "alertmanager": {"enabled": True, "secret": "posts", "repeatInterval": "2m"},
    "registry": {"allowed": ["mlflow.mlops:5000"], "secrets": ["mlflow"]},
    "extraArgs": ["--log-level=debug"],
    "extraEnv": [{"name": "A", "value": "b"}],
    "nodeSelector": {"pool": "ops"},
    "tolerations": [{"key": "ops", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
    "podLabels": {"team": "ml"},
    "podAnnotations": {"team": "ml"},
    "serviceAccount.annotations": {"team": "ml"},
}


def operator_of(objects):
    (container,) = objects["Deployment", OPERATOR]["spec"]["template"]["spec"]["containers"]
    return container


def settings_of(container):
    """What the operator makes of the arguments that the chart gives it."""
    env = {"POD_NAME": "mr-1", "POD_UID": "uid", "POD_NAMESPACE": "ops"}
    assert [each["name"] for each in container["env"][:3]] == list(env)
    assert container["args"][0] == "operator"
    return parse(container["args"][1:], env)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_helm_finds_nothing_to_complain_of(values):
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *flags(values))


def test_every_value_is_described_in_a_sentence_above_it_or_above_its_section():
    described, missing, above = False, [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.lstrip().startswith("#"):
            above.append(line)
            continue
        if re.match(r"(  )?[a-zA-Z]+:", line):
            says = any(comment.startswith(f"{indent}# -- ") for comment in above)
            is_section = not indent and line.endswith(":")
            if not (says or is_section or (indent and described)):
                missing.append(line)
            described = described if indent else says
        above = []
    assert missing == []


def test_every_value_set_at_once_renders_and_reaches_the_pods():
    objects = rendered(EVERYTHING)
    pod = objects["Deployment", OPERATOR]["spec"]["template"]["spec"]
    for field in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "imagePullSecrets"):
        assert pod[field] == EVERYTHING[field]
    assert pod["priorityClassName"] == "high"
    assert {"name": "A", "value": "b"} in operator_of(objects)["env"]


def test_messages_go_by_the_administrators_secret_and_by_those_that_he_lists():
    objects = rendered(EVERYTHING)
    container = operator_of(objects)
    settings = settings_of(container)
    assert (settings.notify_when, settings.notify_allowed) == (("waiting",), ("*.corp.example",))
    assert settings.notify_folder in [mount["mountPath"] for mount in container["volumeMounts"]]
    volumes = objects["Deployment", OPERATOR]["spec"]["template"]["spec"]["volumes"]
    assert [each["secret"]["secretName"] for each in volumes] == ["posts", "chat"]
    for (kind, name), role in objects.items():
        if (kind, name) == ("Role", OPERATOR):
            rights = [rule for rule in role["rules"] if "secrets" in rule["resources"]]
            found = [(rule["resourceNames"], rule["verbs"]) for rule in rights]
            assert found == [(["mlflow"], ["get"]), (["team"], ["get"])]


def test_registries_are_asked_only_where_the_administrator_lists_them():
    assert settings_of(operator_of(rendered(EVERYTHING))).registry_allowed == ("mlflow.mlops:5000",)


def test_alertmanager_posts_to_a_port_of_its_own_with_a_token_and_only_where_it_is_enabled():
    objects = rendered(EVERYTHING)
    container = operator_of(objects)
    settings = settings_of(container)
    (port,) = [each for each in container["ports"] if each["name"] == "alertmanager"]
    assert settings.alertmanager_listen == f"0.0.0.0:{port['containerPort']}"
    assert settings.alertmanager_repeat == "2m"
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "alertmanager"]
    assert settings.alertmanager_token == f"{mount['mountPath']}/token"
    service = objects["Service", f"{OPERATOR}-alertmanager"]["spec"]["ports"]
    assert [each["targetPort"] for each in service] == ["alertmanager"]
    assert {"ports": [{"port": "alertmanager"}]} in objects["NetworkPolicy", OPERATOR]["spec"]["ingress"]
    plain = rendered({})
    assert settings_of(operator_of(plain)).alertmanager_listen == ""
    assert ("Service", f"{OPERATOR}-alertmanager") not in plain


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"image.pullpolicy": "Always"}, "at '/image': additional properties 'pullpolicy' not allowed"),
        ({"watch.namespaces": "prod"}, "at '/watch/namespaces': got string, want array"),
        ({"watch.namespaces": ["Prod"]}, "at '/watch/namespaces/0'"),
        ({"alertmanager.enabled": True}, "at '/alertmanager/secret': minLength: got 0, want 1"),
        ({"lease.duration": "15"}, "at '/lease/duration': '15' does not match pattern"),
        ({"log.level": "trace"}, "at '/log/level': value must be one of 'debug', 'info', 'warning', 'error'"),
        ({"podMonitor.relabelings": []}, "additional properties 'relabelings' not allowed"),
        ({"image.digest": "sha256:abc"}, "at '/image/digest': 'sha256:abc' does not match pattern"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_in_the_values_is_refused_with_its_place(values, complaint):
    with pytest.raises(HelmError, match=re.escape(complaint)):
        rendered(values)


def test_the_crd_is_the_committed_one_and_outlives_the_release():
    committed = yaml.safe_load((REPOSITORY / "crds" / "modelrollouts.yaml").read_text())
    name = committed["metadata"]["name"]
    crd = rendered()["CustomResourceDefinition", name]
    assert crd["spec"] == committed["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    loose = rendered({"crds.keep": False})["CustomResourceDefinition", name]
    assert "annotations" not in loose["metadata"]
    assert ("CustomResourceDefinition", name) not in rendered({"crds.enabled": False})


def test_the_operator_understands_its_arguments():
    whole = settings_of(operator_of(rendered()))
    assert whole.namespace == ()
    assert (whole.lease_namespace, whole.lease_name, whole.identity) == ("ops", OPERATOR, "mr-1_uid")
    assert whole.log_format == "json"
    some = settings_of(operator_of(rendered(EVERYTHING | {"lease.duration": "30s"})))
    assert some.namespace == ("prod", "staging")
    assert (some.lease_duration, some.log_level) == ("30s", "debug")


def test_probes_and_metrics_ask_the_port_that_the_operator_listens_on():
    container = operator_of(rendered())
    port = int(settings_of(container).listen.rpartition(":")[2])
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    asked = [(container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
             for kind in ("livenessProbe", "readinessProbe")]  # fmt: skip
    assert asked == [("/livez", "metrics"), ("/readyz", "metrics")]


@pytest.mark.parametrize("name", ["", "models"])
def test_the_lease_that_may_be_written_is_the_one_that_is_used(name):
    objects = rendered({"lease.name": name})
    rules = objects["Role", f"{OPERATOR}-lease"]["rules"]
    named = [rule["resourceNames"] for rule in rules if "resourceNames" in rule]
    assert named == [[settings_of(operator_of(objects)).lease_name]]


def test_the_image_is_named_by_digest_before_tag_before_version():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    digest = f"sha256:{'a' * 64}"
    assert operator_of(rendered())["image"] == f"modelrollout/operator:{version}"
    assert operator_of(rendered({"image.tag": "dev"}))["image"] == "modelrollout/operator:dev"
    both = {"image.tag": "dev", "image.digest": digest, "image.repository": "mine"}
    assert operator_of(rendered(both))["image"] == f"mine@{digest}"


def test_model_servers_are_scraped_with_the_labels_that_tell_the_arms_apart():
    spec = rendered({"podMonitor.enabled": True})["PodMonitor", f"{OPERATOR}-models"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    labels = {each["targetLabel"]: each["sourceLabels"] for each in endpoint["relabelings"]}
    discovered = {
        target: [f"__meta_kubernetes_pod_label_{re.sub(r'[^a-zA-Z0-9_]', '_', label)}"]
        for target, label in (("rollout", ROLLOUT_LABEL), ("revision", REVISION_LABEL))
    }
    assert labels == discovered
    assert endpoint["port"] == PORT_NAME
    assert spec["selector"]["matchExpressions"] == [{"key": ROLLOUT_LABEL, "operator": "Exists"}]
    assert spec["namespaceSelector"] == {"any": True}


def test_only_served_namespaces_are_scraped():
    spec = rendered(EVERYTHING)["PodMonitor", f"{OPERATOR}-models"]["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["prod", "staging"]}


@pytest.mark.parametrize(("replicas", "made"), [(1, False), (2, True)])
def test_a_single_replica_does_not_hold_up_the_drain_of_its_node(replicas, made):
    assert (("PodDisruptionBudget", OPERATOR) in rendered({"replicaCount": replicas})) == made


def test_what_is_opt_in_is_not_there_by_default():
    kinds = {kind for kind, _ in rendered()}
    opt_in = {"PodMonitor", "PrometheusRule", "ServiceMonitor"}
    assert not kinds & (opt_in | {"NetworkPolicy", "Service", "Secret", "ConfigMap"})


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_hook_before_an_uninstall_stops_this_operator_and_no_pod_of_it_is_taken_for_the_operators(values):
    objects = rendered(values)
    pod = objects["Job", f"{OPERATOR}-unmanage"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    operator = operator_of(objects)
    assert container["image"] == operator["image"]
    assert container["args"][0] == "unmanage"
    assert f"--deployment={OPERATOR}" in container["args"]
    same = [arg for arg in operator["args"] if arg.startswith(("--namespace", "--lease-name"))]
    assert [arg for arg in container["args"] if arg.startswith(("--namespace", "--lease-name"))] == same
    selector = objects["Deployment", OPERATOR]["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("values", [{"uninstall.letGo": False}, {"rbac.create": False}])
def test_without_the_hook_nothing_of_it_is_rendered(values):
    assert not [name for _, name in rendered(values) if "unmanage" in name]
