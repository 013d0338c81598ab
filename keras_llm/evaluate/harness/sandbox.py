"""Runs programs that a model wrote, where they can do little harm.

Each runs in a Python of its own, without site-packages, in an empty temporary
folder, with limits of processor time, memory and size of files, and is killed
with all it started when its time is over. On Linux (x86-64, arm64) the kernel
also refuses it everything but computing and reading: it can't write to the
disk, start a process or thread, open a connection or signal another process.
On other systems only the limits hold. This guards against accidents and
against a model's bad ideas; for code that is meant to break out, use a
virtual machine. A program that reads the frames of its caller could claim to
have passed.
"""

import contextlib
import functools
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keras_llm.errors import InputError
from keras_llm.evaluate.harness import boxed

SECONDS = 3
MEMORY = 1 << 30
_FILE_SIZE = 1 << 20
# A busy machine gives a program less than one core: only a program that
# sleeps meets this end.
_PATIENCE = 5


def run_programs(
    sources: Sequence[str],
    allow_code: bool = False,
    seconds: int = SECONDS,
    memory: int = MEMORY,
) -> list[str]:
    """Runs programs, several at a time, and returns how each one ended.

    Args:
        sources: Python programs that use the standard library only, each
            with its tests behind it.
        allow_code: Whether they may be run at all. Default: no.
        seconds: Processor time of each; after five times as long by the
            clock it is killed too. Default: 3, as in HumanEval.
        memory: Most bytes of each. Default: 1 GiB.

    Returns:
        "passed" for one that ran to its end; else the error that it raised,
        "timed out", or "ended early" where it left before its end.

    Raises:
        InputError: They may not be run, or the kernel has no seccomp.

    Source: Chen et al. 2021, https://arxiv.org/abs/2107.03374, section 2.3.

    Example:

    >>> run_programs(["assert 1 + 1 == 2", "1 / 0"], allow_code=True)
    ['passed', 'ZeroDivisionError: division by zero']
    """
    if not allow_code:
        raise InputError(
            f"Expected leave to run {len(sources)} programs that a model "
            "wrote. Received: allow_code=False. They run with limits, on "
            "Linux also without network, processes or writing, but no sandbox "
            "is perfect: pass allow_code=True on a machine where that is fine."
        )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda s: _ended(s, seconds, memory), sources))


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Returns the chance that at least one of `k` answers is right.

    It is the unbiased estimate from `samples` answers, `correct` of them
    right: one minus the chance to draw only wrong ones.

    Raises:
        InputError: There are fewer than `k` answers.

    Source: Chen et al. 2021, https://arxiv.org/abs/2107.03374, equation 1.

    Example:

    >>> pass_at_k(4, 2, k=1), round(pass_at_k(4, 2, k=2), 4)
    (0.5, 0.8333)
    """
    if not 1 <= k <= samples:
        raise InputError(
            f"Expected at least k={k} answers for pass@{k}, and k of at least "
            f"1. Received: {samples}. Set repeats to {k} or more."
        )
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


@functools.lru_cache(maxsize=1024)  # pass@1 and pass@10 run the same ones
def _ended(source: str, seconds: int, memory: int) -> str:
    token = secrets.token_hex(16)
    limits = {"seconds": seconds, "memory": memory, "file_size": _FILE_SIZE}
    order = {"source": source, "token": token, "limits": limits}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        status = _start(json.dumps(order), folder, seconds * _PATIENCE)
        answer = Path(folder) / "answer"
        said = answer.read_bytes()[:4096] if answer.is_file() else b""
    started, known, end = (said.decode(errors="replace") + "  ").split(" ", 2)
    if known == token:
        return end.strip()
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timed out"
    if started:
        return "ended early"
    raise InputError(
        f"Expected {sys.executable} to start with limits and, on Linux, with "
        f"a seccomp filter. Received: exit code {status}. Run HumanEval on "
        "another machine, or another kernel."
    )


def _start(order: str, folder: str, patience: float) -> int:
    """Runs `boxed.py` in a folder; in the end its whole group is killed."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", boxed.__file__],
        cwd=folder,
        env={},  # no keys and tokens of the user
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    with process, contextlib.suppress(subprocess.TimeoutExpired):
        try:
            process.communicate(order, timeout=patience)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode
