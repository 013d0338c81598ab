"""The two errors of the library: a user's mistake, and a failed check."""

from typing import Any


class InputError(ValueError):
    """What was passed cannot be used; the message says what to do instead.

    Raised for a user's mistake only (a wrong path, value or file), never for
    a defect of the library. The command line prints the message without a
    traceback and exits with code 2. It is a `ValueError`, so code that
    catches that keeps working.

    Example:

    >>> try:
    ...     raise InputError("Expected temperature >= 0. Received: -1.")
    ... except ValueError as error:
    ...     print(error)
    Expected temperature >= 0. Received: -1.
    """


class ExportError(RuntimeError):
    """An exported file failed a check, so nothing was left of it.

    Unlike `InputError` this is no mistake in what was passed.

    Example:

    >>> try:
    ...     raise ExportError("Expected equal text. Received: other text.")
    ... except RuntimeError as error:
    ...     print(error)
    Expected equal text. Received: other text.
    """


def check_choice(name: str, value: Any, allowed: tuple) -> None:
    """Refuses a value that is none of a few.

    Raises:
        InputError: With the name, the choices and what was received.

    Example:

    >>> check_choice("norm", "rms", ("rms", "layer"))
    """
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise InputError(
            f"Expected {name} to be one of {choices}. Received: {value!r}."
        )
