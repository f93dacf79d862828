"""Shell completion of this package's commands: `python3 -m paif_ros.completion SHELL`.

The scripts are made by shtab from the commands' own parsers, so pressing TAB starts no Python,
which on a small board would take a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from paif_ros.command_line import add_version

SHELLS = ('bash', 'zsh', 'tcsh')
COMMANDS: Mapping[str, str] = {  # what makes the parser of each command on the PATH
    'paif-replay': 'paif_ros.replay.arguments:parser',
    'paif-report': 'paif_ros.report.__main__:_parser',
    'paif-view': 'paif_ros.view.__main__:_parser',
    'paif-rerun': 'paif_ros.view.rerun_node:_parser',
    'panel': 'paif_ros.view.panel_node:_parser',
    'calibrate': 'paif_ros.calibrate:_parser',
    'check_registration': 'paif_ros.check_registration:_parser',
}
FAILED = 1
EXAMPLES = """
examples:
  for this shell:
    eval "$(python3 -m paif_ros.completion bash)"
  for every new one:
    python3 -m paif_ros.completion bash > ~/.paif_completion
    echo ". ~/.paif_completion" >> ~/.bashrc
  zsh, in ~/.zshrc after compinit:
    eval "$(python3 -m paif_ros.completion zsh)"
exit codes: 0 printed, 1 shtab is not installed, 2 wrong arguments
"""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by the command's name."""
    made = {}
    for command, place in COMMANDS.items():
        module, _, name = place.partition(':')
        make: Callable[[], argparse.ArgumentParser] = getattr(import_module(module), name)
        made[command] = make()
        made[command].prog = command
    return made


def script(shell: str) -> str:
    """Return the script that a shell reads.

    Args:
        shell: one of SHELLS.

    Raises:
        ImportError: shtab is not installed.
    """
    import shtab

    return '\n'.join(shtab.complete(parser, shell) for parser in parsers().values())


def main(argv: list[str] | None = None) -> None:
    """Print the script and exit with 0, with 1 without shtab, 2 for wrong arguments.

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    parser = argparse.ArgumentParser(
        prog='paif_ros.completion',
        description='Print what makes a shell complete the commands of this package.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('shell', choices=SHELLS)
    add_version(parser)
    shell = parser.parse_args(argv).shell
    try:
        print(script(shell))
    except ImportError as err:
        # Not to the shell that reads the script.
        parser.exit(FAILED, f'paif_ros.completion: {err}; install it: pip install shtab\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main()
