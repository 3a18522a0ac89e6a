"""A process that a test started, on a host or not: what it said, whether it runs, and how to hurt it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from chaos.places import ChaosError
from s2s.stack.processes import tail


class Program:
    """A started process. Where it was started through `nsenter`, that one only waits; `pid` is the process itself."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path, is_entered: bool = True) -> None:
        self.name, self.log = name, log
        self._is_entered = is_entered
        with log.open("wb") as file:
            self.popen = subprocess.Popen(
                command, env=dict(env), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended; a stopped one runs."""
        return self.popen.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, as seen from this process.

        Raises:
            ChaosError: it has ended.
        """
        deadline = time.monotonic() + 10
        while self.is_running and time.monotonic() < deadline:
            if not self._is_entered:
                return self.popen.pid
            with contextlib.suppress(psutil.NoSuchProcess):
                if children := psutil.Process(self.popen.pid).children():
                    return children[0].pid
            time.sleep(0.01)
        raise ChaosError(f"{self.name} has ended with {self.popen.poll()}\n{self.tail()}")

    def processes(self) -> list[psutil.Process]:
        """Itself and its descendants; empty once it has ended."""
        try:
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        except (ChaosError, psutil.NoSuchProcess):
            return []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself and to nobody else."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGSTOP to it and its descendants: its connections stay open and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `stop`."""
        self._signal_all(signal.SIGCONT)
        self._release()

    def terminate(self, *, grace_s: float = 20) -> int:
        """Ask it to end, and kill it and its descendants where it does not; returns its exit status."""
        with contextlib.suppress(ChaosError, ProcessLookupError):
            self.send(signal.SIGTERM)
        try:
            return self.wait(grace_s)
        except ChaosError:
            return self.kill()

    def kill(self) -> int:
        """Kill -9 it and its descendants; returns its exit status. Does nothing to one that has ended."""
        self._signal_all(signal.SIGKILL)
        return self.bury()

    def bury(self) -> int:
        """Wait for the end of one that was killed; returns its exit status."""
        deadline = time.monotonic() + 20
        while self.is_running and time.monotonic() < deadline:
            self._release()
            time.sleep(0.01)
        return self.wait(0)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns its exit status, negative where a signal ended it.

        Raises:
            ChaosError: it still runs; the message has its last words.
        """
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChaosError(f"{self.name} still runs after {timeout_s:g} s\n{self.tail()}") from None

    def wait_for_word(self, word: str, *, timeout_s: float) -> str:
        """Wait until it has printed a word; returns all it has printed.

        Raises:
            ChaosError: it ended without, or is not in time; the message has its last words.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            is_running = self.is_running
            if word in (text := self.output()):
                return text
            if not is_running or time.monotonic() > deadline:
                raise ChaosError(f"{self.name} did not say {word!r}\n{self.tail()}")
            time.sleep(0.05)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """Its last words."""
        return tail(self.log)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _release(self) -> None:
        # `nsenter` stops itself when its child is stopped, in its own time, and would never bury it.
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)
