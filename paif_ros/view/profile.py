"""The files that are shipped beside the code, wherever it was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from paif_ros.fastdds import profile_environment


def shipped(name: str) -> Path | None:
    """Return a shipped file, such as 'config/fastdds_shm.xml', or None where it is not there.

    It lies in the share folder of a ROS workspace or of pip's environment, or in the checkout.
    """
    prefixes = [path for path in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if path]
    folders = [Path(prefix, 'share', 'paif_ros') for prefix in (*prefixes, sys.prefix)]
    for folder in (*folders, Path(__file__).resolve().parents[2]):
        if (folder / name).is_file():
            return folder / name
    return None


def set_profile() -> None:
    """Let Fast DDS pass images on, as the launch files do, unless the user chose how it talks.

    Must come before rclpy starts.
    """
    profile = shipped('config/fastdds_shm.xml')
    if profile is not None:
        os.environ.update(profile_environment(profile))
