"""Which environment variable names the Fast DDS profile for images, in which ROS 2."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
# Whoever sets one of these has chosen how Fast DDS talks.
CHOICES = (NEW, OLD, 'FASTDDS_BUILTIN_TRANSPORTS')
SHARED_MEMORY = Path('/dev/shm')  # noqa: S108 - Linux's own name, nothing is written there
ROOM = 256 * 2**20  # bytes: a segment of 64 MiB for each of four processes
FIRST_NEW_RCLPY = 9  # Kilted, with Fast DDS 3; Jazzy and Humble read the old name only


def profile_environment(
    profile: Path | str, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables that make Fast DDS use a profile, unless the user chose another way.

    Args:
        profile: the XML file, config/fastdds_shm.xml. Where shared memory is too small for it, as
            in a Docker container, NAME_small.xml beside it is taken.
        environ: the environment as it is.

    Returns:
        The variable to set and its value; none where one of `CHOICES` is set already.
    """
    if any(environ.get(name) for name in CHOICES):
        return {}
    return {name: str(_fitting(Path(profile))) for name in _names()}


def _fitting(profile: Path) -> Path:
    small = profile.with_name(f'{profile.stem}_small{profile.suffix}')
    if not small.is_file() or not SHARED_MEMORY.is_dir():
        return profile
    memory = os.statvfs(SHARED_MEMORY)
    return small if memory.f_blocks * memory.f_frsize < ROOM else profile


def _names() -> tuple[str, ...]:
    try:
        major = int(version('rclpy').split('.')[0])
    except (PackageNotFoundError, ValueError):
        return NEW, OLD  # Kilted then warns that the old name is deprecated, and works
    return (NEW,) if major >= FIRST_NEW_RCLPY else (OLD,)


def main() -> None:
    """Print it for a shell: `export $(python -m paif_ros.fastdds FILE)`."""
    import argparse

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('profile', type=Path, help='config/fastdds_shm.xml')
    for name, value in profile_environment(parser.parse_args().profile.resolve()).items():
        print(f'{name}={value}')


if __name__ == '__main__':
    main()
