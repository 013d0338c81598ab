"""Functions and steps that tests send to other processes."""

import errno
import os
import signal
import time
from pathlib import Path

from keras_llm.data import Span, Step
from keras_llm.errors import InputError


def square(number):
    print("printed by a task")
    return number * number


def only_even(number):
    if number % 2:
        raise InputError(f"Expected an even number. Received: {number}.")
    return number


def no_room(number):
    if number == 0:
        raise OSError(errno.ENOSPC, "No space left on device", "/full")
    return number


def fails(number):
    return {}[number]


class Odd(Exception):
    """Cannot be made from its arguments, so cannot be sent."""

    def __init__(self, one, two):
        super().__init__(one)


def fails_oddly(number):
    raise Odd(number, 2)


def dies_once(marker):
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def dies(number):
    os._exit(number)


def flickers(marker):
    """Fails as a network disk does, the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        raise OSError(errno.EIO, "Input/output error")
    return "done"


def sleeps(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def mishap(marker, kind):
    """A step that passes all documents; something happens the first time."""

    def run(documents, counts):
        for document in documents:
            yield document
            if "tr0uble" in document.text and not Path(marker).exists():
                Path(marker).touch()
                _happen(kind)

    settings = {"marker": marker, "kind": kind}
    return Step("executor_tasks:mishap", run, settings)


def _happen(kind):
    if kind == "worker killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "run killed":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    elif kind == "disk full":
        raise OSError(errno.ENOSPC, "No space left on device")
    elif kind == "refused":
        raise InputError("Expected no trouble. Received: some.")


def shout(mark="!"):
    """A user's own step."""

    def run(documents, counts):
        for document in documents:
            yield type(document)(document.text + mark, document.source)

    return Step("executor_tasks:shout", run, {"mark": mark})


def other_name():
    return shout()


def find_roses(text):
    at = text.find("rose")
    return [Span(at, at + 4, "name")] if at >= 0 else []


def letters_of(texts):
    return [[text.count("a"), text.count("e"), 1] for text in texts]


def full_or_marked(place):
    """Finds the disk full at 0, takes a while and leaves a file otherwise."""
    if place == 0:
        return no_room(0)
    time.sleep(0.05)
    Path(place).touch()
    return place
