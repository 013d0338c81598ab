"""A group of processes that train together on this machine.

If one of them dies, the others wait for it in vain, so all are ended and
started again; each continues from the last checkpoint.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import IO, Any, cast

MISTAKE = 2  # exit code of a mistake, which starting again does not mend
PATIENCE = 60.0  # seconds for saving after a signal to stop
POLL = 0.1
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Group:
    """Starts a command several times, as the workers of one cluster.

    Args:
        command: Program and arguments, the same for all.
        workers: How many.
        show: Takes each line they print, with the worker's number before it.

    Example:

    >>> lines = []
    >>> Group(["echo", "hello"], 2, lines.append).run()
    0
    >>> sorted(lines)
    ['[0] hello', '[1] hello']
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        show: Callable[[str], None] = print,
    ):
        self.command, self.workers, self._print = command, workers, show
        self._one_line = threading.Lock()
        self.processes: list[subprocess.Popen] = []
        self._stopped: int | None = None

    def show(self, line: str) -> None:
        """Shows a whole line, whichever worker it comes from."""
        with self._one_line:
            self._print(line)

    def run(self, restarts: int = 0) -> int:
        """Runs until all are done; starts again when one dies.

        A signal to stop is passed on, and nothing is started again.

        Args:
            restarts: How often to start again, at most.

        Returns:
            0 if all ended with 0; else the exit code of the first that did
            not, as a shell has it (128 + signal).
        """
        with self._passing_signals():
            for left in range(restarts, -1, -1):
                code = self._once()
                if code in (0, MISTAKE) or self._stopped is not None:
                    break
                if left:
                    self.show(f"starting all again ({left} more times)")
            return code

    def _once(self) -> int:
        hosts = [f"localhost:{port}" for port in free_ports(self.workers)]
        self.processes = [
            self._start(hosts, index) for index in range(self.workers)
        ]
        readers = [
            threading.Thread(target=self._show_lines, args=(index, process))
            for index, process in enumerate(self.processes)
        ]
        try:
            for reader in readers:
                reader.start()
            return self._wait()
        finally:
            self._kill()
            for reader in readers:
                reader.join()

    def _start(self, hosts: list[str], index: int) -> subprocess.Popen:
        config = {
            "cluster": {"worker": hosts},
            "task": {"type": "worker", "index": index},
        }
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if len(gpus) >= self.workers:  # each its share of what is named
            share = gpus[index :: self.workers]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(share)
        return subprocess.Popen(
            self.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C comes once, through us
        )

    def _show_lines(self, index: int, process: subprocess.Popen) -> None:
        output = cast(IO[str], process.stdout)  # the pipe that _start made
        with output:
            for line in output:
                self.show(f"[{index}] {line.rstrip()}")

    def _wait(self) -> int:
        """Until all ended well, or one did not, or our patience ends."""
        deadline = None
        while True:
            codes = [process.poll() for process in self.processes]
            failed = [i for i, code in enumerate(codes) if code]
            if failed and self._stopped is None:
                return self._failure(failed[0])
            if None not in codes:
                return next((self._code(c) for c in codes if c), 0)
            if self._stopped is not None:
                deadline = deadline or time.monotonic() + PATIENCE
                if time.monotonic() > deadline:
                    return 128 + self._stopped
            time.sleep(POLL)

    def _failure(self, index: int) -> int:
        code = self.processes[index].returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended: {code}"
        self.show(f"[{index}] {how}")
        return self._code(code)

    @staticmethod
    def _code(returned: int) -> int:
        return 128 - returned if returned < 0 else returned

    def _kill(self) -> None:
        """Ends what still runs, with what it has started itself."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def _passing_signals(self) -> Iterator[None]:
        """Passes signals to stop on to the workers, which then save."""

        def pass_on(number: int, frame: FrameType | None) -> None:
            self._stopped = number
            for process in self.processes:
                if process.poll() is None:
                    os.killpg(process.pid, number)

        if threading.current_thread() is not threading.main_thread():
            yield  # signals belong to the main thread
            return
        before: dict[Any, Any] = {
            number: signal.signal(number, pass_on) for number in SIGNALS
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def free_ports(count: int) -> list[int]:
    """Returns different ports that nobody listens on now.

    Example:

    >>> len(set(free_ports(3)))
    3
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
