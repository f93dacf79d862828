"""Stamps inside serialised messages: played and recorded without unpacking the pictures.

All messages here begin with a std_msgs/Header, so in CDR the four bytes of encapsulation are
followed by the stamp's seconds (int32) and nanoseconds (uint32).
"""

from __future__ import annotations

import struct

ENCAPSULATION = 4
BODY = 12  # first byte after the stamp
SECOND = 10**9


def _format(raw: bytes | memoryview) -> str:
    if len(raw) < BODY:
        raise ValueError(f'{len(raw)} bytes are too few for a message with a header')
    return '<iI' if raw[1] & 1 else '>iI'  # the lowest bit of byte 1 says little endian


def stamp_of(raw: bytes | memoryview) -> int:
    """Return the stamp of a serialised message in nanoseconds.

    Raises:
        ValueError: it is too short to have one.
    """
    seconds, nanoseconds = struct.unpack_from(_format(raw), raw, ENCAPSULATION)
    return int(seconds * SECOND + nanoseconds)


def restamp(raw: bytes | memoryview, stamp: int) -> bytes:
    """Return a copy of a serialised message with another stamp.

    Args:
        raw: the message.
        stamp: nanoseconds, 0 or more.

    Raises:
        ValueError: it is too short to have a stamp.
    """
    packed = struct.pack(_format(raw), *divmod(stamp, SECOND))
    return b''.join((raw[:ENCAPSULATION], packed, raw[BODY:]))
