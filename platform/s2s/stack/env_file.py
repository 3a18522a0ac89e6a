"""`stack.env`: written for pydantic-settings and python-dotenv, read back for a shell's `eval`."""

import shlex
from pathlib import Path

from dotenv import dotenv_values

from s2s.errors import StackError
from s2s.stack.private_files import write_private


def write_env_file(path: Path, values: dict[str, str]) -> None:
    """Write `NAME='value'` lines, mode 0600, in one step."""
    write_private(path, "".join(f"{name}={_quoted(value)}\n" for name, value in values.items()))


def read_env_file(path: Path) -> dict[str, str]:
    """The values of the file.

    Raises:
        StackError: there is no such file, so no stack is up.
    """
    if not path.exists():
        raise StackError(f"expected a running stack, but {path} is not there; run `s2s stack up`")
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}


def export_lines(values: dict[str, str]) -> list[str]:
    """One `export NAME=value` per value, quoted for a POSIX shell."""
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
