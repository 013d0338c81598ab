"""Runs a function of this package in a process of its own.

Conversion needs several times the model's memory and the runtimes log a page
a minute; a process gives the memory back and keeps its noise to itself, to be
shown only when something goes wrong.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from keras_llm.errors import ExportError, InputError

LAST_LINES = 30


_PASSED_ON = {
    kind.__name__: kind for kind in (ExportError, InputError, OSError)
}


def run(function: str, **arguments: Any) -> Any:
    """Calls `"module:function"` of `keras_llm.export` in a new process.

    Args:
        function: For example "litert_convert:make".
        **arguments: Keyword arguments that JSON can hold; paths become str.

    Returns:
        What the function returned, as JSON carries it.

    Raises:
        ExportError: The process failed; the message ends with what it said.
        InputError: The function raised one.
        OSError: The function raised one, for example on a full disk.

    Example:

    >>> run("_worker:echo", value=[1, 2])
    [1, 2]
    """
    with tempfile.TemporaryDirectory(prefix="keras-llm-") as folder:
        job = Path(folder) / "job.json"
        job.write_text(json.dumps([function, arguments], default=str))
        process = subprocess.run(
            # -P: a user's json.py in the current folder is not ours.
            [sys.executable, "-P", "-m", "keras_llm.export._worker", str(job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_environment()},
            check=False,
        )
        answer = job.with_name("answer.json")
        if not answer.is_file():
            said = process.stdout.decode(errors="replace").splitlines()
            raise ExportError(
                f"Expected {function} to finish. Received: exit code "
                f"{process.returncode}. It said last:\n"
                + "\n".join(said[-LAST_LINES:])
            )
        kind, value = json.loads(answer.read_text())
    if kind in _PASSED_ON:
        raise _PASSED_ON[kind](*value)
    return value


def echo(value: Any) -> Any:
    """Returns the value: what `run` is tried with."""
    return value


def _arguments(error: Exception) -> list[Any]:
    """What makes the same error again, with an `OSError`'s number and path."""
    if isinstance(error, OSError) and error.strerror:
        return [error.errno, error.strerror, error.filename]
    return [str(error)]


def _environment() -> dict[str, str]:
    return {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",  # what is exported runs on the CPU
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _main(job: Path) -> None:
    function, arguments = json.loads(job.read_text())
    module, name = function.split(":")
    module = importlib.import_module(f"keras_llm.export.{module}")
    try:
        answer = ["", getattr(module, name)(**arguments)]
    except tuple(_PASSED_ON.values()) as error:
        kind = next(
            name for name, k in _PASSED_ON.items() if isinstance(error, k)
        )
        answer = [kind, _arguments(error)]
    job.with_name("answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
