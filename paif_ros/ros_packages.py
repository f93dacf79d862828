"""ROS packages that only some arguments of a launch need: is one missing, and what to do then.

Asked before anything is started. A launch that fails later, when it comes to the executable that
is not there, leaves what it has started running (launch 3.7).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from paif_ros.errors import ParameterError


def check_packages(
    argument: str,
    needed: Collection[str],
    installed: Iterable[str],
    *,
    debian: Collection[str],
    instead: str,
    distro: str | None = None,
) -> None:
    """Refuse to go on without packages.

    Args:
        argument: of the launch that needs them.
        needed: names of ROS packages.
        installed: names of the ROS packages that are here.
        debian: what brings them, without the distro's prefix, such as 'rviz2'.
        instead: what does without them, for the message.
        distro: such as 'jazzy'; ROS_DISTRO where None.

    Raises:
        ParameterError: it names what is missing, how to install it, and `instead`.
    """
    missing = sorted(set(needed) - set(installed))
    if not missing:
        return
    distro = distro or os.environ.get('ROS_DISTRO') or '$ROS_DISTRO'
    packages = ' '.join(f'ros-{distro}-{name}' for name in debian)
    raise ParameterError(
        argument,
        f'not possible: {", ".join(missing)} not installed',
        f'what `sudo apt install {packages}` brings; or {instead}',
    )
