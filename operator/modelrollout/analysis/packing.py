"""Numbers to text and back, bit for bit, at a size that fits into a resource's status."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence

_LARGEST = 3.0e38


def single(numbers: Sequence[float]) -> tuple[float, ...]:
    """The numbers as single precision keeps them. What is stored so must be computed with so, or a restored
    state would differ from one that was never stored."""
    form = f"<{len(numbers)}f"
    try:
        packed = struct.pack(form, *numbers)
    except OverflowError:
        held = (x if abs(x) < _LARGEST or math.isinf(x) else math.copysign(_LARGEST, x) for x in numbers)
        packed = struct.pack(form, *held)
    return struct.unpack(form, packed)


def pack(numbers: Sequence[float], precision: str) -> str:
    """`precision` is "d" (8 bytes) or "f" (4 bytes, exact only for numbers that went through `single`)."""
    return base64.b85encode(struct.pack(f"<{len(numbers)}{precision}", *numbers)).decode("ascii")


def unpack(text: str, precision: str) -> tuple[float, ...]:
    """The numbers that were packed; ValueError when the text is not such a packing."""
    data = base64.b85decode(text)
    size = struct.calcsize(f"<{precision}")
    if len(data) % size:
        raise ValueError(f"{len(data)} bytes are not a whole number of {size}-byte numbers.")
    return struct.unpack(f"<{len(data) // size}{precision}", data)
