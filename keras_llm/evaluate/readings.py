"""Documents as a model read them: the loss of every token, one stream."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.data.document import Document
from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import rolling_windows
from keras_llm.evaluate.subject import Subject
from keras_llm.evaluate.window_subject import WindowSubject
from keras_llm.progress import track

_CHARACTERS = 200_000  # of texts scored at a time, to bound memory


class Reading(NamedTuple):
    """A document as a model read it.

    Attributes:
        document: The document.
        tokens: As text.
        losses: float64 `(tokens,)`, in nats; NaN where nothing predicts.
        contexts: int64 `(tokens,)`: tokens that the model had before each,
            the start token among them: at least 1.

    Example:

    >>> Reading(Document("a", ""), ["a"], np.zeros(1), np.ones(1)).losses
    array([0.])
    """

    document: Document
    tokens: Sequence[str]
    losses: np.ndarray
    contexts: np.ndarray


def readings(
    reader: Any,
    documents: Iterable[Document],
    stride: int | None = None,
) -> Iterator[Reading]:
    """Yields documents with the loss of every token, a few at a time.

    Args:
        reader: A `CausalLM`, or a `Subject`.
        documents: Any iterable; empty ones are left out.
        stride: Of the windows, see `rolling_windows`. Only for models that
            are read in windows here, not behind an address.

    Raises:
        InputError: `reader` is neither, or has no windows of ours while
            there is a stride.

    Example:

    >>> from keras_llm.evaluate.subject import ScoredTokens
    >>> class Half:
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens(list(text), np.full(len(text), -0.7))
    ...             for text in texts]
    >>> [one.losses for one in readings(Half(), [Document("ab", "")])]
    [array([0.7, 0.7])]
    """
    subject = _subject(reader, stride)
    whole = len(documents) if isinstance(documents, Sequence) else None
    batch: list[Document] = []
    characters = 0
    for document in track(documents, "reading", whole):
        if not document.text:
            continue
        batch.append(document)
        characters += len(document.text)
        if characters >= _CHARACTERS:
            yield from _scored(subject, batch, stride)
            batch, characters = [], 0
    yield from _scored(subject, batch, stride)


def _subject(reader: Any, stride: int | None) -> Subject:
    """A `Subject` as it is; a `CausalLM` becomes one."""
    if hasattr(reader, "model") and hasattr(reader, "tokenizer"):
        from keras_llm.evaluate.keras_subject import KerasSubject

        reader = KerasSubject(reader)
    if not hasattr(reader, "token_scores"):
        raise InputError(
            "Expected a CausalLM or an evaluation Subject. Received: "
            f"{type(reader).__name__}."
        )
    if stride is not None and not isinstance(reader, WindowSubject):
        raise InputError(
            "Expected a model that is read in windows here, for a stride of "
            f"them. Received: {reader.name}, which is not."
        )
    return reader


def _scored(
    subject: Subject, documents: list[Document], stride: int | None
) -> Iterator[Reading]:
    score = subject.token_scores
    if isinstance(subject, WindowSubject):
        score = functools.partial(subject.token_scores, stride=stride)
    found = score([document.text for document in documents])
    for document, (tokens, scores) in zip(documents, found, strict=True):
        losses = -np.asarray(scores, "float64")
        contexts = _contexts(subject, len(losses), stride)
        yield Reading(document, tokens, losses, contexts)


def _contexts(subject: Subject, size: int, stride: int | None) -> np.ndarray:
    """How many tokens each was predicted from; of a model that is not read
    in our windows, all before it.
    """
    if not isinstance(subject, WindowSubject):
        return np.arange(1, size + 1)
    windows = rolling_windows(range(size), 0, subject.context_length, stride)
    parts = [
        np.arange(len(tokens) - scored, len(tokens))
        for tokens, scored in windows
    ]
    return np.concatenate([np.zeros(0, "int64"), *parts])
