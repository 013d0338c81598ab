"""What all executors do alike: try again, keep order, gather refusals."""

import errno
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from keras_llm.errors import InputError
from keras_llm.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")

# Seconds before the next try. A file that was just written on another machine
# may be missing for some seconds, so a missing file is tried again, too.
PAUSES = (0.5, 2.0, 5.0)
DEATHS = 3  # of processes, before a task is given up
FULL = (errno.ENOSPC, errno.EDQUOT)
_FINAL = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM)
_SHOWN = 10


def attempt(
    function: Callable[[Task], Result], task: Task
) -> Result | InputError:
    """Returns what a function makes of a task, or the error that refuses it.

    Raises:
        OSError: After three more tries; at once where another try cannot
            help (no room, no permission).

    Example:

    >>> attempt(int, "3")
    3
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return function(task)
        except InputError as error:
            return error
        except OSError as error:
            pause = next(pauses, None)
            final = error.errno in _FINAL or isinstance(
                error, ChildProcessError
            )
            if pause is None or final:
                raise
            time.sleep(pause)


def in_order(
    outcomes: Iterable[tuple[int, Result | InputError]], total: int, title: str
) -> Iterator[Result]:
    """Yields results in the order of their numbers, with a bar.

    Args:
        outcomes: Number of a task, and what `attempt` returned; in any order.
        total: How many there are.
        title: The word before the bar.

    Raises:
        InputError: Tasks were refused; after the last outcome.

    Example:

    >>> list(in_order([(1, "b"), (0, "a")], 2, "spelling"))
    ['a', 'b']
    """
    waiting: dict[int, Result] = {}
    refused: dict[int, InputError] = {}
    turn = 0
    for at, outcome in track(outcomes, title, total):
        if isinstance(outcome, InputError):
            refused[at] = outcome
        else:
            waiting[at] = outcome
        while not refused and turn in waiting:
            yield waiting.pop(turn)
            turn += 1
    if refused:
        raise _together([refused[at] for at in sorted(refused)], total, title)


def died(task: object, causes: str) -> ChildProcessError:
    """Returns the error of a task whose processes died."""
    return ChildProcessError(
        f"Expected {task} to be done. Received: its process died each time "
        f"({causes}). If memory ran out, use fewer workers; what is finished "
        "is kept."
    )


def _together(refused: list[InputError], total: int, title: str) -> InputError:
    """Returns one error that names all."""
    if len(refused) == 1:
        return refused[0]
    lines = list(map(str, refused[:_SHOWN]))
    more = len(refused) - len(lines)
    return InputError(
        "\n".join(
            [
                f"Expected {title} to accept all {total:,} tasks. Received: "
                f"{len(refused):,} that it refused.",
                *lines,
                *([f"... and {more:,} more."] if more else []),
            ]
        )
    )
