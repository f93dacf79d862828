"""What the commands of this package share: `--version`, with all that a result depends on."""

from __future__ import annotations

import argparse
import contextlib
import os

# What commands that train and export depend on besides; a robot has none of these.
TRAINING_LIBRARIES = ('torch', 'onnx', 'onnxscript', 'safetensors')


class ShowVersions(argparse.Action):
    """Prints the versions only when asked for: to find them takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and exit with 0."""
        for name, version in versions(*(self.const or ())).items():
            print(f'{name} {version}')
        parser.exit()


def add_version(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add `--version`, which prints `versions` and exits with 0.

    Args:
        parser: of a command.
        more: libraries that this command depends on besides, as PyPI names them.
    """
    parser.add_argument(
        '--version',
        nargs=0,
        action=ShowVersions,
        const=more,
        help='versions of everything, and exit',
    )


def versions(*more: str) -> dict[str, str]:
    """Return the versions of this package, Python, the machine, ROS, engines and libraries.

    Args:
        more: libraries to name besides, where they are installed.

    Returns:
        Version by name. 'engines' says what ONNX Runtime and TensorRT can run on here.
    """
    from importlib.metadata import PackageNotFoundError, version

    from paif_ros.replay.versions import versions as libraries

    found = libraries()
    for name in ('rclpy', *more):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for name in ('ROS_DISTRO', 'RMW_IMPLEMENTATION'):
        if os.environ.get(name):
            found[name] = os.environ[name]
    found['engines'] = ', '.join(_engines()) or 'none'
    return found


def _engines() -> list[str]:
    """Return which inference libraries load here, with ONNX Runtime's providers."""
    from importlib import import_module

    found = []
    for name in ('tensorrt', 'tensorrt_rtx', 'onnxruntime', 'openvino'):
        try:
            module = import_module(name)
        except (ImportError, OSError):  # OSError: there, but a library that it loads is not
            continue
        if name == 'onnxruntime':
            found += [f'{name} {provider}' for provider in module.get_available_providers()]
        else:
            found.append(name)
    return found
