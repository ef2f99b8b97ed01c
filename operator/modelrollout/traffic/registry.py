"""Which router serves a rollout. To add one, write a file and add its line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from modelrollout.api.objects import Ref
from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic import gateway, istio_subsets, requirements, service
from modelrollout.traffic.router import Capabilities, Router


class Entry(NamedTuple):
    build: Callable[[Traffic, Strategy], Router | None]
    """The router that `traffic` asks for; None when it is another one."""
    kinds: tuple[Ref, ...]
    """The kinds of all routers that it builds."""


ROUTERS: list[Entry] = [
    Entry(gateway.build, (*gateway.GatewayRouter.kinds, *gateway.GrpcRouter.kinds)),
    Entry(istio_subsets.build, istio_subsets.IstioSubsetRouter.kinds),
    Entry(service.build, service.ServiceRouter.kinds),  # needs nothing but the Service, so it comes last
]


def router_for(traffic: Traffic, strategy: Strategy) -> Router:
    """The first router that `traffic` asks for."""
    return next(router for entry in ROUTERS if (router := entry.build(traffic, strategy)))


@lru_cache(maxsize=4096)
def capabilities_of(traffic: Traffic) -> Capabilities:
    """What the router that `traffic` asks for can do, whatever the plan is."""
    return router_for(traffic, Strategy()).capabilities


def kinds() -> tuple[Ref, ...]:
    """The kinds of objects that routers read and write, each once."""
    return tuple(dict.fromkeys(kind for entry in ROUTERS for kind in entry.kinds))


def unreachable(spec: Spec, weight: int) -> Problem | None:
    """Why the pods asked for now cannot make this share of the users, where no route splits them."""
    return requirements.unreachable(spec, router_for(spec.traffic, spec.strategy), weight)
