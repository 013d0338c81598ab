"""A process that does the tasks it is sent, until the sender goes.

`python -m keras_llm.executors.worker`: started by `Local`, for nobody else.
It imports no main module, so that scripts need no `if __name__ ==
"__main__"` and notebooks work, too.
"""

import logging
import os
import pickle
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import IO

from keras_llm.executors.attempts import attempt
from keras_llm.executors.messages import receive, send


def main() -> None:
    """Answers requests; ends at once when the sender has gone."""
    # What a task prints or reads must not get into the messages.
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    # Steps warn where they are made first: in the process that sends them.
    logging.getLogger("keras_llm").setLevel(logging.ERROR)
    # Tasks run in a thread, so that this one sees the sender go.
    with ThreadPoolExecutor(1) as pool:
        while request := receive(requests):
            future = pool.submit(answer, request)
            future.add_done_callback(partial(_reply, answers))
        os._exit(0)


def answer(request: bytes) -> bytes:
    """Does a task; returns what came of it.

    Example:

    >>> pickle.loads(answer(pickle.dumps((len, "abc"))))
    (3, None)
    """
    function, task = pickle.loads(request)
    return pickle.dumps((attempt(function, task), None))


def _reply(answers: IO[bytes], future: Future[bytes]) -> None:
    """Sends a result, or the error that was raised instead."""
    error = future.exception()
    send(answers, _of_error(error) if error else future.result())


def _of_error(error: BaseException) -> bytes:
    """Returns an error as bytes; in words where it cannot be sent."""
    text = "".join(traceback.format_exception(error))
    error.add_note(f"In a worker:\n{text}")
    try:
        message = pickle.dumps((None, error))
        pickle.loads(message)
    except (pickle.PickleError, AttributeError, TypeError):
        return pickle.dumps((None, RuntimeError(text)))
    return message


if __name__ == "__main__":
    main()
