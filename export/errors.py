"""The error of an export that does not do what the model does."""


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
