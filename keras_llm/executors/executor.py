"""What every executor does, and the plainest one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from keras_llm.executors.attempts import attempt, in_order

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs a function over tasks.

    The function stands at the top level of a module, and tasks and results
    can be pickled. A task may run twice (its worker died after it was done),
    so what it writes it writes whole, under a name of its own: see
    `done_once`. Its `str()` names it in messages.

    Example:

    >>> executor: Executor = Inline()
    >>> list(executor.map(len, ["a", "bcd"], "counting"))
    [1, 3]
    """

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        title: str,
    ) -> Iterator[Result]:
        """Yields the result of each task, in the order of the tasks.

        Args:
            function: Called with one task.
            tasks: All of them.
            title: The word before the progress bar.

        Raises:
            InputError: A task refused its input. The others are done first,
                and the message names all that failed.
            OSError: After three more tries; at once when the disk is full,
                and then no other task is begun.
            ChildProcessError: The process of a task died three times.
        """
        ...


class Inline:
    """Runs tasks one after the other in this process.

    Example:

    >>> list(Inline().map(str.upper, ["a", "b"], "shouting"))
    ['A', 'B']
    """

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        title: str,
    ) -> Iterator[Result]:
        """Yields the results; see `Executor.map`."""
        outcomes = (
            (at, attempt(function, task)) for at, task in enumerate(tasks)
        )
        return in_order(outcomes, len(tasks), title)
