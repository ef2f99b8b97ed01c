"""Routes as people write them, for hypothesis: foreign rules, backends, filters and unknown fields."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from modelrollout.api.objects import Objects, Ref
from modelrollout.traffic.router import Match, Split
from tests.unit.traffic import situations as sit

UNKNOWN = st.dictionaries(
    st.sampled_from(["timeouts", "sessionPersistence", "x-vendor"]),
    st.none() | st.integers(0, 3) | st.fixed_dictionaries({"request": st.just("30s")}),
    max_size=2,
)
SPLITS = st.builds(
    Split,
    canary=st.sampled_from([0, 1, 5, 25, 50, 100]),
    mirror=st.sampled_from([0, 1, 20, 100]),
    matches=st.lists(
        st.sampled_from(
            [
                Match("header", "X-Beta", "yes"),
                Match("header", "tier", "a b"),
                Match("query", "b", "1"),
                Match("cookie", "c", "a=b.c"),
                Match.all_of([Match("header", "tier", "pro"), Match("header", "region", "eu")]),
                Match.all_of(
                    [Match("query", "b", "1"), Match("cookie", "c", "a"), Match("header", "z", "1")]
                ),
            ]
        ),
        max_size=2,
        unique=True,
    ).map(tuple),
    share=st.sampled_from([100, 100, 1, 40]),
).map(lambda split: split if split.matches else replace(split, share=100))
NO_QUERIES = SPLITS.filter(lambda split: all(p.kind == "header" for m in split.matches for p in m.parts))
MOVES = st.builds(Split, canary=st.sampled_from([0, 100]))

FILTERS = st.lists(
    st.sampled_from(
        [
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch"}}},
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-debug"]}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 1}}},
        ]
    ),
    max_size=2,
)


@st.composite
def among(draw: st.DrawFn, ours: list[Any], foreign: st.SearchStrategy[Any]) -> list[Any]:
    """Our entries in their order, with foreign ones anywhere between."""
    mixed = list(ours)
    for each in draw(st.lists(foreign, max_size=2)):
        mixed.insert(draw(st.integers(0, len(mixed))), each)
    return mixed


# ── Gateway API ──────────────────────────────────────────────────────────────────────────────────

MATCHES = st.lists(
    st.sampled_from(
        [
            {"path": {"type": "PathPrefix", "value": "/v1"}, "method": "POST"},
            {
                "path": {"type": "Exact", "value": "/"},
                "headers": [{"type": "Exact", "name": "h", "value": "1"}],
            },
            {"path": {"type": "PathPrefix", "value": "/"}, "queryParams": [{"name": "q", "value": "1"}]},
        ]
    ),
    max_size=2,
)
FOREIGN_REFS = st.builds(
    sit.ref, st.sampled_from(["audit", "old"]), weight=st.sampled_from([0, 7, 100])
) | st.just({"group": "", "kind": "Service", "name": "chat-stable", "namespace": "elsewhere", "weight": 3})
FOUND_REFS = st.sampled_from(
    [
        [("chat-stable", 100)],
        [("chat", 100)],
        [("chat-stable", 100), ("chat-canary", 0)],
        [("chat-canary", 0), ("chat-stable", 100)],
        [("chat-stable", 300), ("chat-canary", 0)],
    ]
)


def optional(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return values.map(lambda value: {key: value}) | st.just({})


@st.composite
def gateway_rules(draw: st.DrawFn, name: str | None) -> dict[str, Any]:
    refs: list[Any] = []
    if name == "completions":
        extra = draw(UNKNOWN)
        refs = [sit.ref(n, weight=w, **extra) for n, w in draw(FOUND_REFS)]
    else:
        refs = draw(st.lists(st.just(sit.ref("chat-stable")) | st.just(sit.ref("chat-canary")), max_size=1))
    found = {"backendRefs": draw(among(refs, FOREIGN_REFS)), **draw(UNKNOWN)}
    found |= {**draw(optional("matches", MATCHES)), **draw(optional("filters", FILTERS))}
    return found if name is None else {"name": name, **found}


def stored(objects: dict[Ref, Any]) -> Objects:
    """As the API server gives them: no two places share a value."""
    return {ref: json.loads(json.dumps(found)) for ref, found in objects.items()}


@st.composite
def gateway_objects(draw: st.DrawFn, at: Ref = sit.HTTP_REF) -> Objects:
    other = gateway_rules(None) | gateway_rules("other")
    rules = draw(among([draw(gateway_rules("completions"))], other))
    route = sit.http_route(*rules)
    if draw(st.booleans()):
        route["status"]["parents"][0]["controllerName"] = "example.com/leaky"
    return stored({at: route})


# ── Istio ────────────────────────────────────────────────────────────────────────────────────────

HOST = st.sampled_from(["", ".ml", ".ml.svc", ".ml.svc.cluster.local"])
FOREIGN_DESTINATIONS = st.builds(
    sit.destination, st.sampled_from(["audit", "old.elsewhere", "example.com"]), st.sampled_from([0, 7, 100])
)
ISTIO_MATCHES = st.lists(
    st.sampled_from(
        [
            {"uri": {"prefix": "/v1"}, "method": {"exact": "POST"}},
            {"headers": {"h": {"exact": "1"}}, "x-vendor": 1},
            {"queryParams": {"q": {"regex": "1"}}},
        ]
    ),
    max_size=2,
)


@st.composite
def host_destinations(draw: st.DrawFn) -> list[Any]:
    domain, extra = draw(HOST), draw(UNKNOWN)
    names = draw(FOUND_REFS | st.just([("chat-stable", None)]))
    return [{**sit.destination(n + domain, w, port={"number": 80}), **extra} for n, w in names]


@st.composite
def subset_destinations(draw: st.DrawFn) -> list[Any]:
    host, extra = "chat" + draw(HOST), draw(UNKNOWN)
    stable = {**sit.destination(host, 100, subset="stable"), **extra}
    canary = {**sit.destination(host, 0, subset="canary"), **extra}
    return draw(st.sampled_from([[stable], [stable, canary], [canary, stable], [sit.destination(host, 100)]]))


@st.composite
def istio_routes(draw: st.DrawFn, name: str | None, ours: st.SearchStrategy[list[Any]]) -> dict[str, Any]:
    destinations = draw(ours) if name == "completions" else draw(st.just([]) | ours)
    if [d for d in destinations if "weight" not in d]:
        mixed = destinations  # a single destination without a weight stands alone
    else:
        mixed = draw(among(destinations, FOREIGN_DESTINATIONS))
    found = {"route": mixed, **draw(UNKNOWN), **draw(optional("match", ISTIO_MATCHES))}
    found |= draw(optional("mirrors", st.just([{"destination": {"host": "audit"}}])))
    return found if name is None else {"name": name, **found}


@st.composite
def istio_objects(draw: st.DrawFn, ours: st.SearchStrategy[list[Any]], *, subsets: bool) -> Objects:
    other = istio_routes(None, ours) | istio_routes("other", ours)
    named = draw(istio_routes("completions", ours))
    objects: dict[Ref, Any] = {sit.VIRTUAL_REF: sit.virtual_service(*draw(among([named], other)))}
    if subsets:
        labels = st.none() | st.just({}) | st.just({"tier": "gold", "modelrollout.io/revision": "zzz"})
        objects[sit.RULE_REF] = sit.destination_rule(draw(labels), draw(labels))
        objects[sit.SERVICE_REF] = sit.service({"app": "chat"})
    return stored(objects)


# ── the Service itself ───────────────────────────────────────────────────────────────────────────


@st.composite
def service_objects(draw: st.DrawFn) -> Objects:
    selector = draw(st.none() | st.just({"app": "old"}) | st.just({"modelrollout.io/rollout": "chat"}))
    found = sit.service(selector, **draw(UNKNOWN))
    annotations = draw(st.none() | st.just({"team": "a"}))
    if annotations is not None:
        found["metadata"]["annotations"] = annotations
    return stored({sit.SERVICE_REF: found})
