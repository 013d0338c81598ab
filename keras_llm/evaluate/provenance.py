"""How a report was made: versions, machine, commit, command, hashes."""

import datetime
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import keras_llm
from keras_llm.errors import InputError
from keras_llm.files import sha256_of

PACKAGES = ("keras", "numpy")
TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tf-nightly")
CPU_NAMES = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Returns the versions of Python, the system and the packages.

    Example:

    >>> sorted(environment())
    ['keras', 'keras_llm', 'numpy', 'python', 'system', 'tensorflow']
    """
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "keras_llm": keras_llm.__version__,
        "tensorflow": _version(*TENSORFLOW),
        **{name: _version(name) for name in PACKAGES},
    }


def provenance(
    sources: Mapping[str, str | os.PathLike], seed: int | None
) -> dict[str, Any]:
    """Returns how, when, where and from what something was made.

    Args:
        sources: As for `write_report`.
        seed: Of whatever was drawn, or None.

    Raises:
        InputError: A path is not there.

    Example:

    >>> made = provenance({"model": "ab12"}, seed=1)
    >>> made["sources"], made["seed"], made["date"][:2]
    ({'model': 'ab12'}, 1, '20')
    """
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "seed": seed,
        "sources": {
            name: fingerprint_of(source) for name, source in sources.items()
        },
        "command": shlex.join(sys.argv),
        "commit": commit(),
        "cpu": cpu(),
        "environment": environment(),
    }


def fingerprint_of(source: str | os.PathLike) -> str:
    """Returns a fingerprint as it is, or the SHA-256 of a file or folder.

    A folder's is that of the names and hashes of its files.

    Args:
        source: A string is a fingerprint already; a `Path` is read.

    Raises:
        InputError: The path is not there.

    Example:

    >>> fingerprint_of("ab12")
    'ab12'
    """
    if isinstance(source, str):
        return source
    path = Path(source)
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        raise InputError(
            f"Expected a file or a folder to hash. Received: {path}, which "
            "is not there. Pass a fingerprint as a string."
        )
    whole = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        line = f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def commit() -> str | None:
    """Returns the git commit of the working folder, None outside of one.

    `-dirty` follows where files were changed since.

    Example:

    >>> commit() is None or len(commit()) >= 40
    True
    """
    if shutil.which("git") is None:
        return None
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    answer = subprocess.run(
        [*asked, "--exclude=*"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def cpu() -> str:
    """Returns the processor's name and how many cores may be used.

    Example:

    >>> "cores" in cpu()
    True
    """
    name = platform.processor() or platform.machine()
    if CPU_NAMES.is_file():
        lines = CPU_NAMES.read_text(encoding="utf-8").splitlines()
        names = [one.split(":")[1] for one in lines if "model name" in one]
        name = names[0].strip() if names else name
    return f"{name}, {os.cpu_count()} cores"


def _version(*names: str) -> str:
    """The version of the first of these distributions that is there."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"
