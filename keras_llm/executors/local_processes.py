"""Tasks in processes of this machine; one that dies is replaced."""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    CancelledError,
    ThreadPoolExecutor,
    as_completed,
)
from typing import Any, TypeVar

from keras_llm.executors.attempts import DEATHS, died, in_order
from keras_llm.executors.messages import packed, receive, send

Task = TypeVar("Task")
Result = TypeVar("Result")


class Local:
    """Runs tasks in processes of this machine.

    A process starts when it is first needed and does task after task. If it
    dies (killed, out of memory), another takes its place and its task. None
    outlives `close`, nor the process that made it.

    Args:
        workers: Processes at the same time.

    Example:

    >>> from keras_llm.executors import open_executor
    >>> with open_executor("local", workers=1) as executor:
    ...     list(executor.map(len, ["a", "bcd"], "counting"))
    [1, 3]
    """

    def __init__(self, workers: int):
        # A thread waits for each process.
        self._threads = ThreadPoolExecutor(workers)
        self._own = threading.local()
        self._processes: list[_Process] = []
        self._lock = threading.Lock()
        self._closed = False

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        title: str,
    ) -> Iterator[Result]:
        """Yields the results; see `Executor.map`."""
        requests = [(packed(function, task), str(task)) for task in tasks]
        futures = {
            self._threads.submit(self._run, *request): at
            for at, request in enumerate(requests)
        }
        try:
            outcomes = ((futures[f], f.result()) for f in as_completed(futures))
            yield from in_order(outcomes, len(tasks), title)
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Ends all processes, busy or not."""
        with self._lock:
            self._closed = True
        for process in self._processes:
            process.end()
        self._threads.shutdown(cancel_futures=True)

    def _run(self, request: bytes, name: str) -> Any:
        """Does one task in the process of this thread."""
        codes = []
        while len(codes) < DEATHS:
            process = self._process()
            answer = process.ask(request)
            if answer is not None:
                result, error = pickle.loads(answer)
                if error is not None:
                    raise error
                return result
            codes.append(process.end())
            self._own.process = None
            if self._closed:
                raise CancelledError
        raise died(name, ", ".join(map(_cause, codes)))

    def _process(self) -> "_Process":
        if getattr(self._own, "process", None) is None:
            with self._lock:
                if self._closed:
                    raise CancelledError
                self._own.process = _Process()
                self._processes.append(self._own.process)
        return self._own.process


class _Process:
    """A worker and the pipes to it."""

    def __init__(self):
        paths = (os.path.abspath(path) for path in sys.path)
        self._process: Any = subprocess.Popen(
            [sys.executable, "-P", "-m", "keras_llm.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the parent, who ends us
        )

    def ask(self, request: bytes) -> bytes | None:
        """Sends a request and waits for the answer; None: it died."""
        try:
            send(self._process.stdin, request)
            return receive(self._process.stdout)
        except (BrokenPipeError, ValueError):  # dead, or closed meanwhile
            return None

    def end(self) -> int:
        """Ends the process, busy or not; returns its exit code."""
        self._process.kill()
        code = self._process.wait()
        self._process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # of a request half sent
            self._process.stdin.close()
        return code


def _cause(code: int) -> str:
    """Says how a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
