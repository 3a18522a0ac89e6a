"""Find the executables that were installed beside this Python, whatever PATH says."""

import sys
from pathlib import Path

from s2s.errors import StackError


def executable(name: str, *, install: str) -> str:
    """Path of an executable of this Python's environment.

    Args:
        name: Its file name.
        install: The command that brings it, for the message.

    Raises:
        StackError: it is not there.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise StackError(f"expected the executable {path}, but it is not there; run `{install}` in this Python's environment")
    return str(path)
