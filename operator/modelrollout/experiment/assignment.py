"""The arm of a user: the same in the gateway, in an application and in a log, because all hash the same way.

The gateway sends the cohorts below the canary's weight to the canary (`traffic/cohorts.py`). A cohort is two
digits, `00` to `99`, which the application sends in the header that `traffic.sticky.header` names:

    the first 8 bytes of SHA-256("SALT:USER"), as a big-endian number, modulo 100

Any language has this in a few lines. The cohorts of a small weight are among those of a larger one, so that
nobody changes arms while the weight grows.
"""

from __future__ import annotations

import hashlib

from modelrollout.api.names import Role

COHORTS = 100


def cohort(user: str, salt: str) -> int:
    """The user's cohort, 0 to 99. Another `salt` (use the rollout's name) deals the users out anew."""
    digest = hashlib.sha256(f"{salt}:{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % COHORTS


def header_value(user: str, salt: str) -> str:
    """What the application sends in the sticky header."""
    return f"{cohort(user, salt):02}"


def arm_of(user: str, salt: str, weight: int) -> Role:
    """The user's arm while the canary has `weight` percent, 0 to 100."""
    return "canary" if cohort(user, salt) < weight else "stable"
