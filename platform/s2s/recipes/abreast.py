"""Trainings that go on at the same time, each in a thread of its own, as parts of one run.

One that fails, or is told to stop, stops the others at their next step, and what it raised is what the run raises. Torch lets other threads
work while it computes, so that threads are enough.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from s2s.network.threads import libraries_on
from s2s.recipes.run import Progress

LISTEN_S = 0.2
"""How long this thread waits deafly: Ray's way to interrupt a task does not wake a thread that waits."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class Abreast:
    """Does trainings at the same time, and counts their steps as one."""

    def __init__(self, on_progress: Progress, steps: int) -> None:
        """Count from nothing.

        Args:
            on_progress: Told the sum; never by two at once. What it raises, every training raises.
            steps: Of all trainings together.
        """
        self._on_progress, self._steps = on_progress, steps
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._failure: BaseException | None = None

    def each(self, work: Callable[[Task], Result], tasks: Sequence[Task], threads: int) -> list[Result]:
        """Do every training, some at once; they share the threads of torch evenly.

        Args:
            work: Does one.
            tasks: What it is given, in this order.
            threads: As many at once.

        Returns:
            What came of each, in their order.

        Raises:
            What the first that failed raised.
        """
        with libraries_on(max(1, torch.get_num_threads() // threads)), ThreadPoolExecutor(threads, "s2s-training") as pool:
            futures = [pool.submit(self._do, work, task) for task in tasks]
            try:
                while wait(futures, LISTEN_S).not_done:
                    pass
                return [future.result() for future in futures]
            except BaseException as error:  # Ctrl-C comes to this thread alone
                self._stop(error)
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def progress_of(self, name: str) -> Progress:
        """What the training of this name tells its progress to."""

        def told(stage: str, done: int, total: int, note: str = "") -> None:
            with self._lock:
                self._go_on()
                if stage == "train":
                    self._done[name] = done
                    done, total = sum(self._done.values()), self._steps
                self._on_progress(stage, done, total, note)

        return told

    def over(self, name: str, steps: int) -> None:
        """Count a training as done, though it may have ended before its last step."""
        with self._lock:
            self._done[name] = steps

    def _do(self, work: Callable[[Task], Result], task: Task) -> Result:
        try:
            self._go_on()
            return work(task)
        except BaseException as error:
            self._stop(error)
            raise

    def _go_on(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            self._failure = self._failure or error
