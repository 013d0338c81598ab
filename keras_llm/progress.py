"""One look for every long work: a rich bar with speed and time left."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


def bar() -> Progress:
    """Returns a rich `Progress` on standard error, quiet when not a terminal.

    Example:

    >>> with bar() as progress:
    ...     task = progress.add_task("packing", total=2)
    ...     progress.advance(task, 2)
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def track(
    items: Iterable[Item],
    description: str,
    total: int | None = None,
    size: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """Yields the items while a bar on standard error shows how far it is.

    Args:
        items: What to pass through.
        description: The word before the bar, for example "packing".
        total: Sum of all sizes; None if unknown (no time left is shown).
        size: How much of `total` one item is. Default: 1.

    Example:

    >>> list(track("ab", "reading", total=2))
    ['a', 'b']
    """
    with bar() as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task, size(item))
