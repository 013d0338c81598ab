"""Python values over a pipe between two processes, each with its length."""

import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

from keras_llm.errors import InputError

_LENGTH = struct.Struct("<Q")


def packed(function: Callable[[Any], Any], task: Any) -> bytes:
    """Returns a function and a task as bytes for another process.

    Raises:
        InputError: One of them cannot be sent: a function within a function,
            for example.

    Example:

    >>> pickle.loads(packed(len, "abc"))
    (<built-in function len>, 'abc')
    """
    try:
        return pickle.dumps((function, task))
    except (pickle.PickleError, AttributeError, TypeError) as error:
        raise InputError(
            "Expected a function and tasks that can be sent to another "
            f"process. Received: {error}. Put functions at the top level of "
            'a module, or use engine="inline".'
        ) from error


def send(pipe: IO[bytes], message: bytes) -> None:
    """Writes a message.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """
    pipe.write(_LENGTH.pack(len(message)) + message)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """Returns the next message; None: the other side has gone.

    Example:

    >>> import io
    >>> pipe = io.BytesIO()
    >>> send(pipe, b"Hello")
    >>> _ = pipe.seek(0)
    >>> receive(pipe), receive(pipe)
    (b'Hello', None)
    """
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = pipe.read(length)
    return message if len(message) == length else None
