"""The with statement for what has something to end."""

from types import TracebackType
from typing import Self


class Closing:
    """Mixed in where `with` should call `close` at the end, come what may.

    Example:

    >>> class Door(Closing):
    ...     def close(self):
    ...         print("closed")
    >>> with Door():
    ...     pass
    closed
    """

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Calls `close`."""
        self.close()

    def close(self) -> None:
        """Ends what was begun; here, nothing."""
