"""Putting requests to a model: each once, in an order that is cheap."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.items import Request
from keras_llm.evaluate.harness.store import AnswerStore
from keras_llm.evaluate.subject import (
    Continuation,
    Likelihood,
    Prompt,
    Subject,
)
from keras_llm.progress import track

LIKELIHOODS_AT_ONCE = 512
TEXTS_AT_ONCE = 64  # each takes long


def ask(
    subject: Subject,
    requests: Iterable[Request],
    store: AnswerStore,
    progress: bool = True,
) -> dict[Request, Any]:
    """Returns the answers to all requests.

    What the store knows is not asked; the rest is asked in chunks, each kept
    before the next.

    Args:
        subject: The model.
        requests: Any number, also the same several times.
        store: Where answers are kept.
        progress: Whether a bar is shown.

    Raises:
        InputError: The model refuses a request, or gives no number.

    Example:

    >>> class Sure:
    ...     name, fingerprint = "sure", "1"
    ...     def likelihoods(self, requests):
    ...         return [Likelihood(-1.0, True) for _ in requests]
    >>> ask(Sure(), [Continuation("a", " b")], AnswerStore(None, "1"))
    {Continuation(...): Likelihood(total=-1.0, greedy=True)}
    """
    wanted = dict.fromkeys(requests)
    found = store.find(wanted)
    open_ = [request for request in wanted if request not in found]
    chunks = list(_chunks(open_))
    steps = track(chunks, "asking", len(open_), len) if progress else chunks
    for chunk in steps:
        answers = _answers(subject, chunk)
        store.put(zip(chunk, answers, strict=True))
        found |= zip(chunk, answers, strict=True)
    return found


def _chunks(requests: Sequence[Request]) -> Iterator[list[Request]]:
    pairs = [r for r in requests if isinstance(r, Continuation)]
    yield from _filled(_families(pairs), LIKELIHOODS_AT_ONCE)
    for kind, length in ((str, len), (Prompt, lambda r: len(r.context))):
        same = [r for r in requests if isinstance(r, kind)]
        same.sort(key=length, reverse=True)
        yield from _filled([[one] for one in same], TEXTS_AT_ONCE)


def _families(
    pairs: Sequence[Continuation],
) -> list[list[Continuation]]:
    """Continuations of one context together, the longest families first.

    The one with the longest continuation is the very first: if it does not
    fit the model, that shows at once.
    """
    if not pairs:
        return []
    families: dict[str, list[Continuation]] = {}
    for pair in pairs:
        families.setdefault(pair.context, []).append(pair)
    longest = max(pairs, key=lambda pair: len(pair.continuation)).context

    def order(family: list[Continuation]) -> tuple[bool, int]:
        length = max(len(one.context) + len(one.continuation) for one in family)
        return family[0].context == longest, length

    return sorted(families.values(), key=order, reverse=True)


def _filled(
    families: Iterable[Sequence[Request]], size: int
) -> Iterator[list[Request]]:
    """Chunks of about a size; a family is not cut."""
    chunk: list[Request] = []
    for family in families:
        chunk += family
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


_METHODS = {Continuation: "likelihoods", Prompt: "generate", str: "rolling"}


def _answers(subject: Subject, chunk: list[Request]) -> list[Any]:
    """A chunk's answers as plain numbers and texts."""
    try:
        answers = getattr(subject, _METHODS[type(chunk[0])])(chunk)
    except InputError as error:
        raise InputError(
            f"{error} The longest of the {len(chunk)} requests in hand: "
            f"{max(map(_asked, chunk), key=len)!r:.200}."
        ) from error
    if len(answers) != len(chunk):
        raise InputError(
            f"Expected {len(chunk)} answers of {subject.name}. Received: "
            f"{len(answers)}. Its class is wrong: it must answer each request."
        )
    return [
        _plain(subject, request, answer)
        for request, answer in zip(chunk, answers, strict=True)
    ]


def _asked(request: Request) -> str:
    """What must fit a model whole, however much of a context is cut."""
    if isinstance(request, str):
        return request
    return request[1] if isinstance(request, Continuation) else request[0]


def _plain(subject: Subject, request: Request, answer: Any) -> Any:
    if isinstance(request, Prompt):
        return str(answer)
    pair = isinstance(request, Continuation)
    number = float(answer.total if pair else answer)
    if math.isnan(number):
        raise InputError(
            f"Expected {subject.name} to give numbers. Received: NaN for "
            f"{request!r:.200}. Its weights may be damaged, or its precision "
            "too low."
        )
    return Likelihood(number, bool(answer.greedy)) if pair else number
