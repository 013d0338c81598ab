"""Fails when `keras-llm --help` takes a second of CPU: best of three runs.

CPU time, because a busy machine stretches the wall clock, not the work.
Usage: python check_help.py KERAS_LLM
"""

import resource
import subprocess
import sys

LIMIT = 1.0  # seconds


def cpu_seconds() -> float:
    """Returns the CPU time of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_run() -> float:
    """Returns the CPU time of one `--help`."""
    before = cpu_seconds()
    subprocess.run(
        [sys.argv[1], "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return cpu_seconds() - before


best = min(one_run() for _ in range(3))
print(f"keras-llm --help: {best:.2f} s of CPU (limit {LIMIT} s)")
sys.exit(best >= LIMIT)
