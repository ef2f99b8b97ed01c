"""The chart's alerts and recording rules on a real Prometheus, which scrapes the operator's own telemetry."""

import asyncio
import json
import math
import re

import pytest

from modelrollout.telemetry import Telemetry
from tests.apiserver.exporters import Exporter
from tests.apiserver.helm import OPERATOR, rendered
from tests.bed.ports import free_port
from tests.bed.prometheus import Prometheus

ARM = {"namespace": "ml", "rollout": "chat", "revision": "kcqrsqm2fb"}


def groups(hurried):
    """The chart's groups; hurried, an alert fires a second after its expression holds."""
    found = rendered({"prometheusRule": {"enabled": True}})["PrometheusRule", OPERATOR]["spec"]["groups"]
    for group in found if hurried else ():
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    return found


@pytest.fixture
async def telemetry():
    """An operator's own metrics, served as the operator serves them, and their address."""
    made, address = Telemetry(), f"127.0.0.1:{free_port()}"
    async with made.serve(address):
        yield made, address


@pytest.fixture
def prometheus():
    with Prometheus(scrape_interval="500ms") as running:
        yield running


@pytest.fixture
def model_server():
    exporter = Exporter()
    exporter.start()
    yield exporter
    exporter.close()


async def asked(prometheus, expression, holds):
    """Ask until the answer is as wanted; blocking questions stay out of the loop that serves telemetry."""
    for _ in range(240):
        seen = await asyncio.to_thread(prometheus.query, expression)
        if holds(seen):
            return seen
        await asyncio.sleep(0.25)
    raise AssertionError(f"{expression}: {seen}")


def shown(made, name, phase, verdict):
    made.show(namespace="ml", name=name, phase=phase, verdict=verdict, desired=5, observed=5)


async def test_each_alert_fires_on_what_the_operator_says_of_itself_and_ends_with_it(prometheus, telemetry):
    made, address = telemetry
    firing = 'ALERTS{alertstate="firing"}'
    made.leads(True)
    shown(made, "fine", "Progressing", "Pass")
    made.errors.labels("Unreachable").inc(0)
    prometheus.set_targets([(address, {"job": "operator"})])
    await asked(prometheus, "modelrollout_leader", bool)
    await asyncio.to_thread(prometheus.set_rules, groups(hurried=True))

    made.errors.labels("Unreachable").inc(20)
    shown(made, "gate", "Paused", "Insufficient")
    shown(made, "slow", "Progressing", "Insufficient")
    shown(made, "bad", "Reverted", None)
    shown(made, "blind", "Progressing", "ProviderError")
    made.leads(False)
    wanted = {
        ("ModelRolloutNoLeader", None),
        ("ModelRolloutErrors", None),
        ("ModelRolloutNeedsPerson", "gate"),
        ("ModelRolloutHeld", "slow"),
        ("ModelRolloutReverted", "bad"),
        ("ModelRolloutPrometheusSilent", "blind"),
    }

    def alerts(rows):
        return {(labels["alertname"], labels.get("name")) for labels, _ in rows}

    rows = await asked(prometheus, firing, lambda rows: alerts(rows) >= wanted)
    assert alerts(rows) == wanted
    assert {labels["namespace"] for labels, _ in rows if "name" in labels} == {"ml"}

    made.leads(True)
    for name in ("gate", "slow", "bad", "blind"):
        shown(made, name, "Stable", None)
    await asked(prometheus, firing, lambda rows: alerts(rows) == {("ModelRolloutErrors", None)})


def served():
    """Series of a model server, and by how much each grows with ten requests, in tenths."""
    good, bad = (f'vllm:request_success_total{{finished_reason="{each}"}}' for each in ("stop", "error"))
    buckets = {
        f'vllm:{name}_bucket{{le="{edge}"}}': share
        for name in ("time_to_first_token_seconds", "request_time_per_output_token_seconds")
        for edge, share in (("0.1", 0.5), ("0.5", 1), ("+Inf", 1))
    }
    return {good: 0.9, bad: 0.1, "vllm:generation_tokens_total": 100, **buckets}


async def test_each_recording_rule_has_a_rate_of_each_revision(prometheus, model_server):
    counts = served()
    model_server.series.update(dict.fromkeys(counts, 0))
    prometheus.set_targets([(model_server.address, ARM)])
    prometheus.set_rules(groups(hurried=True))
    names = [rule["record"] for group in groups(hurried=False) for rule in group["rules"] if "record" in rule]
    assert len(names) == 5
    values = {}
    for round_ in range(1, 240):
        model_server.series.update({name: share * 10 * round_ for name, share in counts.items()})
        values = {name: prometheus.query(name) for name in names}
        if all(values.values()) and all(
            math.isfinite(value) and value > 0 for rows in values.values() for _, value in rows
        ):
            break
        await asyncio.sleep(0.25)
    for name, rows in values.items():
        [(labels, value)] = rows
        assert {key: labels[key] for key in ARM} == ARM, name
        assert value > 0, name
    [(_, errors)] = values["modelrollout:request_errors:ratio_rate5m"]
    assert errors == pytest.approx(0.1)
    [(_, first_token)] = values["modelrollout:time_to_first_token_seconds:p95_5m"]
    assert 0.1 < first_token < 0.5


def test_each_alert_says_what_is_wrong_and_where_to_look():
    alerts = [rule for group in groups(hurried=False) for rule in group["rules"] if "alert" in rule]
    assert len(alerts) == 6
    for rule in alerts:
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        assert rule["annotations"]["description"], rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
    used = set(re.findall(r"modelrollout_[a-z_]+", " ".join(rule["expr"] for rule in alerts)))
    families = {family.name for family in Telemetry().registry.collect()}
    assert {name.removesuffix("_total") for name in used} <= families


# ── the dashboard ───────────────────────────────────────────────────────────────────────────────────


def dashboard():
    text = rendered({"dashboard": {"enabled": True}})["ConfigMap", f"{OPERATOR}-dashboard"]
    assert text["metadata"]["labels"]["grafana_dashboard"] == "1"
    return json.loads(text["data"]["modelrollout.json"])


def queries(board):
    """Title -> PromQL, as Grafana would ask it of the rollout ml/chat."""
    values = {"$namespace": "ml", "$rollout": "chat", "$__rate_interval": "5m"}
    asked = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in board["panels"]
        for target in panel.get("targets", ())
    }
    asked |= {each["name"]: each["expr"] for each in board["annotations"]["list"]}
    for name, value in values.items():
        asked = {title: expression.replace(name, value) for title, expression in asked.items()}
    return asked


async def test_each_query_of_the_dashboard_has_an_answer(prometheus, telemetry, model_server):
    made, address = telemetry
    made.leads(True)
    made.errors.labels("Unreachable").inc()
    made.show(
        namespace="ml", name="chat", phase="Progressing", verdict="Insufficient", desired=5, observed=5,
        evidence={("vllm/errors", "pass"): 63.0, ("vllm/errors", "revert"): 4.0},
    )  # fmt: skip
    prometheus.set_targets([(address, {"job": "operator"}), (model_server.address, ARM)])
    asked_for, missing = queries(dashboard()), {"everything"}
    assert len(asked_for) > 15
    for round_ in range(1, 240):
        model_server.series.update(
            {name: share * 10 * round_ for name, share in served().items()} | {"vllm:num_requests_running": 2}
        )
        made.weight.labels("ml", "chat", "desired").set(5 + round_ % 2)
        missing = set()
        for title, expression in asked_for.items():
            rows = await asyncio.to_thread(prometheus.query, expression)
            if not rows or not all(math.isfinite(value) for _, value in rows):
                missing.add(title)
        if not missing:
            break
        await asyncio.sleep(0.25)
    assert missing == set()
