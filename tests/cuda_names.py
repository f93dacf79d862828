"""Writes the names of the installed CUDA bindings, for the stand-in of the tests.

In an environment that holds one version of cuda-bindings or cuda-python, and no GPU is needed:
`python tests/cuda_names.py tests/data/cuda_api/VERSION.json`
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ENUMS = ('cudaError_t', 'cudaMemcpyKind', 'cudaStreamCaptureMode')


def names() -> dict[str, object]:
    """Return functions with their arguments, constants, three enums, and what a GPU tells."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        from cuda import cudart as runtime
    functions, constants = {}, {}
    for name in sorted(dir(runtime)):
        value = getattr(runtime, name)
        if not name.startswith('cuda') or isinstance(value, type):
            continue
        if isinstance(value, int):
            constants[name] = value
        elif found := re.match(rf'{name}\((.*)\)', (value.__doc__ or '').strip()):
            functions[name] = [
                part.split(':')[0].split()[-1] for part in found[1].split(',') if part
            ]
    return {
        'module': runtime.__name__,
        'functions': functions,
        'constants': constants,
        'enums': {
            enum: {member.name: int(member) for member in getattr(runtime, enum)} for enum in ENUMS
        },
        'properties': [name for name in dir(runtime.cudaDeviceProp) if name[0] != '_'],
    }


if __name__ == '__main__':
    Path(sys.argv[1]).write_text(json.dumps(names(), separators=(',', ':')) + '\n')
