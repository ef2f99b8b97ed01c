"""Every way in which a route can be unusable, and the sentence that says so."""

from dataclasses import replace

import pytest

from modelrollout.traffic.router import Match, Split, Unroutable
from tests.unit.traffic import situations as sit


def other(number: int) -> dict:
    return {"name": f"other-{number}", "matches": [{}], "backendRefs": [sit.ref("audit")]}


STABLE = sit.ref("chat-stable")
FOREIGN = [sit.ref(f"b{i}", weight=0) for i in range(15)]
POOL = {
    "group": "inference.networking.k8s.io",
    "kind": "InferencePool",
    "name": "chat-stable",
    "weight": 1,
}
MIRRORED_TO_AUDIT = {"mirror": {"host": "audit.ml"}}
RULES = sit.destination_rule

ROUTES = [
    (
        "the route does not exist",
        sit.GATEWAY,
        {sit.HTTP_REF: None},
        "RouteNotFound",
        "There is no HTTPRoute chat in this namespace: create it, with a rule named completions that sends "
        "to chat-stable.",
    ),
    (
        "no rule has the name",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route({"name": "other"}, {"backendRefs": [STABLE]})},
        "RuleNotFound",
        "HTTPRoute chat has no rule named completions (its rules: other): name the rule that is to be split.",
    ),
    (
        "no rule has any name",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route({"backendRefs": [STABLE]})},
        "RuleNotFound",
        "HTTPRoute chat has no rule named completions, and none of its rules has a name. If the manifest "
        "names it, this cluster's Gateway API drops the names of rules: it takes Gateway API 1.4, or the "
        "experimental channel of an older one. If it does not, name the rule that is to be split.",
    ),
    (
        "the cluster has dropped the name that the manifest gives",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.applied_with({"backendRefs": [STABLE]}, {"rules": [{"name": "completions"}]})},
        "RuleNamesDropped",
        "HTTPRoute chat has no rule named completions, and none of its rules has a name. The manifest that "
        "was applied names it, and this cluster's Gateway API drops the names of rules: it takes Gateway API "
        "1.4, or the experimental channel of an older one.",
    ),
    (
        "two rules have the name",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(STABLE), sit.rule(STABLE))},
        "RuleNameTwice",
        "HTTPRoute chat has 2 rules named completions, and only one can be meant: give the others names of "
        "their own.",
    ),
    (
        "no backend of the rule is ours",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(sit.ref("old")))},
        "NoBackend",
        "Rule completions of HTTPRoute chat sends to neither chat-stable nor chat, so there is nothing to "
        "split: "
        "add {name: chat-stable, port: <the Service's port>} to its backendRefs.",
    ),
    (
        "the rule redirects",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route({"name": "completions", "filters": [{"type": "RequestRedirect"}]})},
        "NoBackend",
        "Rule completions of HTTPRoute chat sends to neither chat-stable nor chat, so there is nothing to "
        "split: "
        "add {name: chat-stable, port: <the Service's port>} to its backendRefs.",
    ),
    (
        "our backend is in another namespace",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(sit.ref("chat-stable", namespace="serving")))},
        "BackendInOtherNamespace",
        "Rule completions of HTTPRoute chat sends to chat-stable in namespace serving, and a rollout only "
        "splits between Services of its own namespace, ml: put the route and the rollout into one "
        "namespace, or name a backend of this one.",
    ),
    (
        "the canary would be the 17th backendRef",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(STABLE, *FOREIGN))},
        "RouteIsFull",
        "HTTPRoute chat would have 17 backendRefs with those that the rollout adds, and the API takes 16: "
        "move some to another route.",
    ),
    (
        "the match would be the 17th rule",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(STABLE), *(other(i) for i in range(15)))},
        "RouteIsFull",
        "HTTPRoute chat would have 17 rules with those that the rollout adds, and the API takes 16: move "
        "some to another route.",
    ),
    (
        "others get weight and ours is too coarse",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(STABLE, sit.ref("old", weight=1)))},
        "WeightNotAchievable",
        "5 % of weight 1, which chat-stable and chat-canary share beside other backends, is no whole number: "
        "multiply all weights of the rule by 100.",
    ),
    (
        "others get all the weight",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(sit.ref("chat", weight=0), sit.ref("old")))},
        "NoShare",
        "chat has weight 0 beside backends that have some, so there is nothing to split: give chat-stable "
        "the weight that the rollout shall share out.",
    ),
    (
        "the rule already matches the header that targets the canary",
        sit.GATEWAY,
        {
            sit.HTTP_REF: sit.http_route(
                sit.rule(STABLE, matches=[{"headers": [{"type": "Exact", "name": "X-Beta", "value": "1"}]}])
            )
        },
        "AlreadyMatched",
        "Rule completions of HTTPRoute chat already matches the header x-beta, and a request has one value "
        "for it: match another for the canary.",
    ),
    (
        "the rule sends to an InferencePool, whose selector nobody moves at promotion",
        sit.GATEWAY,
        {sit.HTTP_REF: sit.http_route(sit.rule(POOL))},
        "SendsToPool",
        "Rule completions of HTTPRoute chat sends to InferencePool chat-stable. A pool selects pods by "
        "labels that would have to move with each promotion, and the operator moves what Services select: "
        "write {name: chat-stable, port: <the Service's port>} in its place.",
    ),
    (
        "the VirtualService does not exist",
        sit.HOSTS,
        {sit.VIRTUAL_REF: None},
        "RouteNotFound",
        "There is no VirtualService chat in this namespace: create it, with a rule named completions that "
        "sends to chat-stable.",
    ),
    (
        "the http route delegates",
        sit.HOSTS,
        {sit.VIRTUAL_REF: sit.virtual_service({"name": "completions", "delegate": {"name": "chat-routes"}})},
        "RouteDelegates",
        "Route completions of VirtualService chat hands over to VirtualService ml/chat-routes: name that "
        "one, and a route of it, in traffic.istio.",
    ),
    (
        "no destination is ours",
        sit.HOSTS,
        {sit.VIRTUAL_REF: sit.virtual_service(sit.route(sit.destination("chat.example.com")))},
        "NoBackend",
        "Route completions of VirtualService chat sends to neither chat-stable nor chat, so there is "
        "nothing to "
        "split: add {destination: {host: chat-stable}} to its route.",
    ),
    (
        "the host is in another namespace",
        sit.HOSTS,
        {
            sit.VIRTUAL_REF: sit.virtual_service(
                sit.route(sit.destination("chat-stable.serving.svc.cluster.local"))
            )
        },
        "BackendInOtherNamespace",
        "Route completions of VirtualService chat sends to chat-stable.serving.svc.cluster.local, and a "
        "rollout only splits between Services of its own namespace, ml: put the VirtualService and the "
        "rollout into one namespace, or name a destination of this one.",
    ),
    (
        "it splits subsets, and no DestinationRule is named",
        sit.HOSTS,
        {sit.VIRTUAL_REF: sit.virtual_service(sit.route(sit.destination("chat", subset="stable")))},
        "SubsetsWithoutRule",
        "Route completions of VirtualService chat sends to subsets of chat: name their DestinationRule in "
        "traffic.istio.destinationRule.",
    ),
    (
        "it already copies requests to someone else",
        sit.HOSTS,
        {
            sit.VIRTUAL_REF: sit.virtual_service(
                sit.route(sit.destination("chat-stable"), **MIRRORED_TO_AUDIT)
            )
        },
        "ForeignMirror",
        "Route completions of VirtualService chat already copies requests to audit.ml, and `mirror` holds "
        "only one: write it under `mirrors`, which holds many.",
    ),
]

SUBSET_ROUTE = sit.virtual_service(sit.route(sit.destination("chat", subset="stable")))
WIDE = sit.service({"app": "chat"})


def subset_objects(rule, service=WIDE):
    return {sit.VIRTUAL_REF: SUBSET_ROUTE, sit.RULE_REF: rule, sit.SERVICE_REF: service}


SUBSETS = [
    (
        "the DestinationRule does not exist",
        subset_objects(None),
        "DestinationRuleNotFound",
        "There is no DestinationRule chat in this namespace: create it for host chat, with subsets named "
        "stable and canary.",
    ),
    (
        "it is for another host",
        subset_objects({**RULES(), "spec": {"host": "other", "subsets": RULES()["spec"]["subsets"]}}),
        "WrongHost",
        "DestinationRule chat is for host other, and the route sends to chat: write host chat.",
    ),
    (
        "a subset is missing",
        subset_objects({**RULES(), "spec": {"host": "chat", "subsets": [{"name": "stable"}]}}),
        "SubsetNotFound",
        "DestinationRule chat has 0 subsets named canary: write one, without labels; the operator adds the "
        "revision's.",
    ),
    (
        "a subset is there twice",
        subset_objects({**RULES(), "spec": {"host": "chat", "subsets": [{"name": "stable"}] * 2}}),
        "SubsetTwice",
        "DestinationRule chat has 2 subsets named stable: write one, without labels; the operator adds the "
        "revision's.",
    ),
    (
        "a subset selects nothing",
        subset_objects(RULES({"version": "v1"})),
        "SubsetSelectsNothing",
        "Subset stable of DestinationRule chat asks for pods labelled version=v1, and the rollout's have no "
        "such label: remove it, or add it under runtime.podTemplate.metadata.labels.",
    ),
    (
        "the Service does not exist",
        subset_objects(RULES(), None),
        "ServiceNotFound",
        "There is no Service chat in this namespace, whose subsets are to be split: create it.",
    ),
    (
        "the Service selects one revision",
        subset_objects(RULES(), sit.service({"modelrollout.io/revision": "aaa111"})),
        "ServiceSelectsTooLittle",
        "Service chat selects one revision (modelrollout.io/revision), and its subsets need the pods of "
        "both: select modelrollout.io/rollout: chat.",
    ),
    (
        "the Service selects other pods",
        subset_objects(RULES(), sit.service({"app": "old"})),
        "ServiceSelectsTooLittle",
        "Service chat selects app=old, and its subsets need the pods of both: select "
        "modelrollout.io/rollout: chat.",
    ),
]

SERVICES = [
    (
        "the Service does not exist",
        None,
        "ServiceNotFound",
        "There is no Service chat in this namespace, and clients are to call it: create it, with the ports "
        "that they use.",
    ),
    (
        "the Service is a DNS alias",
        sit.service(None, type="ExternalName", externalName="example.com"),
        "ServiceSelectsNoPods",
        "Service chat is of type ExternalName, a DNS alias that selects no pods: use one of type ClusterIP, "
        "NodePort or LoadBalancer.",
    ),
]


@pytest.mark.parametrize(
    ("why", "traffic", "objects", "reason", "message"), ROUTES, ids=[case[0] for case in ROUTES]
)
def test_a_route_is_refused_when(why, traffic, objects, reason, message):
    problem = sit.router(traffic).read(objects, sit.SITE).problem
    assert problem is not None
    assert (problem.reason, problem.message) == (reason, message)


@pytest.mark.parametrize(("why", "objects", "reason", "message"), SUBSETS, ids=[case[0] for case in SUBSETS])
def test_subsets_are_refused_when(why, objects, reason, message):
    site = replace(sit.SITE, pod_labels={"app": "chat", "modelrollout.io/rollout": "chat"})
    reading = sit.router(sit.SUBSETS).read(objects, site)
    assert reading.problem is not None
    assert (reading.problem.reason, reading.problem.message) == (reason, message)
    with pytest.raises(Unroutable, match=r"DestinationRule|Service"):
        sit.router(sit.SUBSETS).render(objects, site, Split(canary=5))


@pytest.mark.parametrize(
    ("why", "service", "reason", "message"), SERVICES, ids=[case[0] for case in SERVICES]
)
def test_a_service_is_refused_when(why, service, reason, message):
    reading = sit.router({}).read({sit.SERVICE_REF: service}, sit.SITE)
    assert reading.problem is not None
    assert (reading.problem.reason, reading.problem.message) == (reason, message)
    with pytest.raises(Unroutable):
        sit.router({}).render({sit.SERVICE_REF: service}, sit.SITE, Split())


@pytest.mark.parametrize(
    "split", [Split(mirror=5), Split(matches=(Match("header", "x-beta", "yes"),)), Split(canary=50)]
)
def test_a_plain_service_never_takes_a_split_for_done_that_it_cannot_make(split):
    crowded = replace(sit.SITE, other_ready=1)
    with pytest.raises(Unroutable):
        sit.router({}).render({sit.SERVICE_REF: sit.service({"app": "x"})}, crowded, split)


def test_a_service_cannot_split_while_a_third_revision_has_ready_pods():
    crowded = replace(sit.SITE, other_ready=2)
    with pytest.raises(Unroutable) as unroutable:
        sit.router({}).render({sit.SERVICE_REF: sit.service({"app": "x"})}, crowded, Split(canary=25))
    assert str(unroutable.value) == (
        "2 ready pods of an earlier revision of chat would get users too, for Service chat can only tell one "
        "revision from all of them: they must be scaled down first."
    )


@pytest.mark.parametrize(
    ("traffic", "objects"),
    [
        (traffic, objects)
        for _, traffic, objects, reason, _ in ROUTES
        if reason in ("RouteIsFull", "AlreadyMatched")
    ],
)
def test_all_users_can_go_to_stable_though_the_plan_cannot_be_carried_out(traffic, objects):
    router = sit.router(traffic)
    after = sit.applied(objects, router.render(objects, sit.SITE, Split()))
    assert router.read(after, sit.SITE).split == Split()


def test_rendering_into_a_route_that_is_gone_is_refused_with_the_same_sentence():
    with pytest.raises(Unroutable, match="There is no HTTPRoute chat"):
        sit.router(sit.GATEWAY).render({sit.HTTP_REF: None}, sit.SITE, Split())
