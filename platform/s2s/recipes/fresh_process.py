"""A piece of work in a Python process of its own: a defect, a crash or a shortage of memory ends that process and nothing else.

Decision: the process lives in a session of its own, so that Ctrl-C reaches it once and from here, with time to write down that it
was stopped; and it ends when its stdin is closed, so that it never outlives whoever started it. The price of a process is the
seconds in which it imports what it needs.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from s2s.errors import EXIT_CODE

GRACE_S = 10.0
"""Seconds that a process has to write down that it was stopped."""

TAIL = 2000
"""Characters of its last words that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit status; negative where a signal ended it.
        out: What it wrote to stdout.
        words: The end of what it wrote to stderr.
    """

    code: int
    out: str
    words: str


def run_fresh(module: str, message: str, environment: Mapping[str, str]) -> Ended:
    """Run a module in a process of its own and wait for its end.

    Args:
        module: As for `python -m`; its first act is `read_message`.
        message: One line.
        environment: Added to this process's.

    Raises:
        KeyboardInterrupt: the user stopped it; the process was told so, and has ended.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **environment},
            bufsize=0,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # it died at once; why, it says on stderr
                process.stdin.write(message.encode() + b"\n")
            # Not `communicate`: it would close stdin, which the process takes for our end.
            out = process.stdout.read().decode(errors="replace")
            code = process.wait()
        finally:
            _end(process)
        errors.seek(0)
        return Ended(code=code, out=out, words=errors.read().decode(errors="replace").strip()[-TAIL:])


def read_message() -> bytes:
    """In such a process: the message. From now on it ends when stdin is closed, that is with the process that started it."""
    message = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return message


def _end(process: "subprocess.Popen[bytes]") -> None:
    with process:  # closes its pipes and waits for it
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _end_with_parent() -> None:
    # The parent holds the other end of stdin for as long as it lives; kill -9 closes it too. Not through `sys.stdin`,
    # whose lock this thread would hold when the interpreter ends.
    while os.read(0, 1):
        continue
    os._exit(EXIT_CODE)
