"""TensorBoard in a process beside a run."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keras_llm.errors import InputError

PATIENCE = 180.0  # seconds until it says where it listens
POLL = 0.1
ADDRESS = re.compile(rb"TensorBoard \S+ at (http\S+)")


@contextlib.contextmanager
def open_board(folder: Path, port: int | None = None) -> Iterator[str]:
    """Runs TensorBoard while the block runs; yields its address.

    Args:
        folder: What it shows; made if missing.
        port: Where it listens on this machine; 0 for any free port. Default:
            6006, or the next one that is free.

    Raises:
        InputError: It ended, or did not start within three minutes.

    Example: see `keras-llm train --watch`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    if port is not None:
        words += ["--port", str(port)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the training
        )
        try:
            yield _address(process, output)
        finally:
            process.terminate()
            process.wait()


def _address(process: subprocess.Popen, output: IO[bytes]) -> str:
    deadline = time.monotonic() + PATIENCE
    while True:
        # Not `read`: the position is that of the process, which writes.
        said = os.pread(output.fileno(), 1 << 20, 0)
        found = ADDRESS.search(said)
        if found:
            return found[1].decode()
        if process.poll() is not None or time.monotonic() > deadline:
            lines = said.decode(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "nothing."
            raise InputError(
                "Expected TensorBoard to start. Received from it: "
                f"{last} Train without --watch, and start it yourself."
            )
        time.sleep(POLL)
