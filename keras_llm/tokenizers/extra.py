"""Packages that only some tokenizers need, from the extra `text`."""

import importlib
from typing import Any

from keras_llm.errors import InputError


def extra(module: str, purpose: str) -> Any:
    """Imports a module of the extra `text`, or says how to get it.

    Args:
        module: What to import.
        purpose: What needs it, for the error.

    Raises:
        InputError: It is not installed, or not for this TensorFlow.

    Example:

    >>> extra("json", "Nothing").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        # TensorFlow reports a library built for another version as
        # NotFoundError, which is an OSError of its own only by name.
        raise InputError(
            f"Expected the package {module.split('.')[0]} for {purpose}. "
            f"Received: {error}. Install it with: pip install "
            "'keras_llm[text]'"
        ) from error
