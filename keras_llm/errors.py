"""The one error type for a mistake in what a user passed."""


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
