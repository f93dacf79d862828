"""Image messages without ROS, for tests."""

import array
from types import SimpleNamespace


def message(encoding, data, height=1, width=2, *, step=None, is_bigendian=0):
    """Return a duck-typed image, with packed rows unless told otherwise."""
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=len(data) // height if step is None else step,
        data=array.array('B', data),
    )
