"""Where traffic is moved: the Service that clients call, and what splits it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelrollout.api.quantities import Duration
from modelrollout.api.wire import Name, Wire

Percent = Annotated[int, Field(ge=0, le=100)]


class GatewayTraffic(Wire):
    """Weights in one named rule of a Gateway API route."""

    http_route: Name | None = None
    """Name of the HTTPRoute that holds the rule."""
    grpc_route: Name | None = None
    """Name of the GRPCRoute that holds the rule."""
    rule: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the rule in that route. Only this rule is changed."""


class IstioTraffic(Wire):
    """Weights in one named http route of an Istio VirtualService."""

    virtual_service: Name
    """Name of the VirtualService that holds the route."""
    route: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the http route in that VirtualService. Only this one is changed."""
    destination_rule: Name | None = None
    """Named: split over its subsets `stable` and `canary` instead of over two Services."""


class Sticky(Wire):
    """A user who saw the canary keeps seeing it while the weight grows."""

    header: Annotated[str, Field(min_length=1, max_length=128)]
    """A request header with two digits, 00–99, that the caller derives from a hash of the user."""


class Traffic(Wire):
    """The Service that clients call, and what splits its traffic.

    With neither gateway nor istio the Service itself is the router: it splits by pod counts.
    """

    service: Name
    """Name of the Service that clients call. It exists already; the operator makes two more beside it,
    for stable and canary."""
    gateway: GatewayTraffic | None = None
    istio: IstioTraffic | None = None
    sticky: Sticky | None = None
    arm_headers: bool = False
    """Answers say who gave them: X-Model-Version, such as chat@kcqrsqm2fb, and X-Experiment-ID while a
    revision is on trial."""
    tolerance: Percent = 5
    """Points of weight by which a split made of replica counts may miss a step's weight."""
    close_connections_after: Duration | None = None
    """Where the Service itself is the router: so long after all users have moved, the pods of the old
    revision are restarted one by one, which ends the connections that clients kept open to it. It stays warm.
    Without it, such clients stay with the old revision until its pods end."""
