"""Which checkpoints are as they were written, and what if one is not."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from keras_llm.errors import InputError
from keras_llm.files import sha256_of
from keras_llm.train.state import STATE, State, checkpoints, read_state

ASIDE = "damaged-"


CHANGED = "is missing, cut short or changed"


class Damaged(InputError):
    """A checkpoint is not as it was written.

    Args:
        message: The sentence.
        why: Its reason alone: which file.

    Example:

    >>> Damaged("Expected it whole.", "model.safetensors is cut").why
    'model.safetensors is cut'
    """

    def __init__(self, message: str, why: str):
        super().__init__(message)
        self.why = why


def checked(path: Path) -> State:
    """Returns the state of a checkpoint whose files are what was written.

    Raises:
        Damaged: A file is missing, cut short or changed.
        InputError: There is no such folder.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> State(step=3, seeds=[], files={}).save(folder / STATE)
    >>> checked(folder).step
    3
    """
    if not path.is_dir():
        raise InputError(
            f"Expected a checkpoint folder at {path}. Received: nothing "
            "there. Pass a folder named step-..., as train.latest returns."
        )
    try:
        state = read_state(path)
    except InputError as error:
        raise _damaged(path, STATE) from error
    for name, expected in state.files.items():
        if not (path / name).exists() or sha256_of(path / name) != expected:
            raise _damaged(path, name)
    return state


def newest_intact(
    folder: Path, restore: Callable[[Path], State]
) -> tuple[State | None, dict[Path, str]]:
    """Restores the newest checkpoint that is intact.

    Args:
        folder: The run's folder of checkpoints.
        restore: Takes a checkpoint's path; raises `Damaged` if it is.

    Returns:
        What `restore` returned, None if there are no checkpoints; and the
        damaged ones that were met, with what is wrong with them.

    Raises:
        InputError: There are checkpoints, and none is intact.

    Example:

    >>> newest_intact(Path("no/such/folder"), checked)
    (None, {})
    """
    damaged: dict[Path, str] = {}
    found, state = checkpoints(folder), None
    for path in reversed(found):
        try:
            if state is None:
                state = restore(path)
            elif not _is_readable(path):
                damaged[path] = f"{STATE} {CHANGED}"
        except Damaged as error:
            damaged[path] = error.why
    if state is None and found:
        raise InputError(
            f"Expected an intact checkpoint in {folder}. Received: "
            f"{_listed(damaged)}. Restore one from a copy, or train into "
            "another folder."
        )
    return state, damaged


def set_aside(damaged: dict[Path, str], step: int) -> None:
    """Renames damaged checkpoints and warns of them, naming all.

    Args:
        damaged: What `newest_intact` met.
        step: The step of the intact one.

    Example:

    >>> set_aside({}, 4)
    """
    if not damaged:
        return
    for path in damaged:
        os.rename(path, path.with_name(f"{ASIDE}{path.name}"))
    warnings.warn(
        f"Damaged: {_listed(damaged)}. Going on from step-{step:08d}, which "
        f"is intact. The damaged are kept as {ASIDE}step-... in "
        f"{next(iter(damaged)).parent}: remove them when you have looked.",
        stacklevel=2,
    )


def _is_readable(path: Path) -> bool:
    try:
        read_state(path)
    except InputError:
        return False
    return True


def _listed(damaged: dict[Path, str]) -> str:
    return ", ".join(f"{path.name} ({why})" for path, why in damaged.items())


def _damaged(path: Path, name: str) -> Damaged:
    older = [
        other for other in checkpoints(path.parent) if other.name < path.name
    ]
    intact = next((p for p in reversed(older) if _is_intact(p)), None)
    advice = (
        f"{intact.name} is intact: remove {path.name} and run the same "
        "command again to continue from there."
        if intact
        else "No older checkpoint is intact: train into another folder."
    )
    why = f"{name} {CHANGED}"
    return Damaged(
        f"Expected the checkpoint {path} as it was written. Received: {why}. "
        f"{advice}",
        why,
    )


def _is_intact(path: Path) -> bool:
    try:
        files = read_state(path).files
        return all(sha256_of(path / n) == h for n, h in files.items())
    except (InputError, OSError):
        return False
