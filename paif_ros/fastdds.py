"""Which environment variable names the Fast DDS profile for images, in which ROS 2."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NEW, OLD = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
# Whoever sets one of these has chosen how Fast DDS talks.
CHOICES = (NEW, OLD, 'FASTDDS_BUILTIN_TRANSPORTS')
SHARED_MEMORY = Path('/dev/shm')  # noqa: S108 - Linux's own name, nothing is written there
ROOM = 256 * 2**20  # bytes: a segment of 64 MiB for each of four processes
FIRST_NEW_RCLPY = 9  # Kilted, with Fast DDS 3; Jazzy and Humble read the old name only

EXAMPLES = """
examples:
  in each shell that starts a camera driver or a node:
    eval "$(python3 -m paif_ros.fastdds config/fastdds_shm.xml)"
  what it would set:
    python3 -m paif_ros.fastdds config/fastdds_shm.xml
exit codes: 0 printed, 2 wrong arguments
"""


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
    """Print a line for a shell: `eval "$(python3 -m paif_ros.fastdds FILE)"`."""
    import argparse

    from paif_ros.command_line import add_version

    parser = argparse.ArgumentParser(
        prog='paif_ros.fastdds',
        description=main.__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(parser)
    parser.add_argument('profile', type=Path, help='config/fastdds_shm.xml')
    profile = parser.parse_args().profile.resolve()
    if not profile.is_file():  # Fast DDS would go on without it and lose images
        parser.error(f'{profile} is not there')
    variables = profile_environment(profile)
    if variables:
        print('export', *(f'{name}={shlex.quote(value)}' for name, value in variables.items()))
    else:
        chosen = ', '.join(name for name in CHOICES if os.environ.get(name))
        # Not to the shell that reads the line.
        print(f'paif_ros.fastdds: {chosen} is set, so nothing is changed', file=sys.stderr)


if __name__ == '__main__':
    main()
