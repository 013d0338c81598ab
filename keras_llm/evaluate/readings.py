"""Documents as a model read them: the loss of every token, one stream."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.data.document import Document
from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import rolling_windows
from keras_llm.evaluate.subject import Subject
from keras_llm.progress import track

_CHARACTERS = 200_000  # of texts scored at a time, to bound memory


class Reading(NamedTuple):
    """A document as a model read it.

    Attributes:
        document: The document.
        losses: float64 `(tokens,)`, in nats; NaN where nothing predicts.
        contexts: int64 `(tokens,)`: tokens that the model had before each,
            the start token among them: at least 1.
        texts: From a range of tokens to each one's text.

    Example:

    >>> Reading(Document("a", ""), np.zeros(1), np.ones(1), list).losses
    array([0.])
    """

    document: Document
    losses: np.ndarray
    contexts: np.ndarray
    texts: Callable[[int, int], list[str]]


def readings(
    reader: Any,
    documents: Iterable[Document],
    stride: int | None = None,
) -> Iterator[Reading]:
    """Yields documents with the loss of every token, a few at a time.

    Args:
        reader: A `CausalLM`, which is read in rolling windows; or a
            `Subject`, whose `token_scores` are taken as they are: a token's
            context is then all of the document before it.
        documents: Any iterable; empty ones are left out.
        stride: Of the windows, see `rolling_windows`. Only for a `CausalLM`.

    Raises:
        InputError: `reader` is neither, or is a `Subject` while there is a
            stride.

    Example:

    >>> from keras_llm.evaluate.subject import ScoredTokens
    >>> class Half:
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens(list(text), np.full(len(text), -0.7))
    ...             for text in texts]
    >>> [one.losses for one in readings(Half(), [Document("ab", "")])]
    [array([0.7, 0.7])]
    """
    score = _score_of(reader, stride)
    whole = len(documents) if isinstance(documents, Sequence) else None
    batch: list[Document] = []
    characters = 0
    for document in track(documents, "scoring", whole):
        if not document.text:
            continue
        batch.append(document)
        characters += len(document.text)
        if characters >= _CHARACTERS:
            yield from score(batch)
            batch, characters = [], 0
    yield from score(batch)


def _score_of(
    reader: Any, stride: int | None
) -> Callable[[list[Document]], Iterator[Reading]]:
    if hasattr(reader, "token_scores"):
        if stride is not None:
            raise InputError(
                "Expected a CausalLM for a stride of its windows. Received: "
                f"the subject {reader.name}, which has windows of its own."
            )
        return lambda documents: _from_subject(reader, documents)
    if hasattr(reader, "model") and hasattr(reader, "tokenizer"):
        from keras_llm.evaluate.window_scores import WindowScorer

        scorer = WindowScorer(reader.model)
        return lambda documents: _from_lm(reader, scorer, documents, stride)
    raise InputError(
        "Expected a CausalLM or an evaluation Subject. Received: "
        f"{type(reader).__name__}."
    )


def _from_subject(
    subject: Subject, documents: list[Document]
) -> Iterator[Reading]:
    found = subject.token_scores([document.text for document in documents])
    for document, (tokens, scores) in zip(documents, found, strict=True):
        losses = -np.asarray(scores, "float64")

        def texts(begin: int, end: int, tokens: list[str] = tokens):
            return tokens[begin:end]

        yield Reading(document, losses, 1 + np.arange(len(losses)), texts)


def _from_lm(
    lm: Any, scorer: Any, documents: list[Document], stride: int | None
) -> Iterator[Reading]:
    from keras_llm.evaluate.bits import _start_id

    start, size = _start_id(lm.tokenizer), lm.config.context_length
    encoded = lm.tokenizer.encode(
        [document.text for document in documents], disallowed_special=()
    )
    cut = [[*rolling_windows(ids, start, size, stride)] for ids in encoded]
    scored = iter(scorer([window for windows in cut for window in windows]))
    for document, ids, windows in zip(documents, encoded, cut, strict=True):
        losses = [-next(scored).log_probabilities for _ in windows]
        contexts = [
            np.arange(len(tokens) - scored, len(tokens))
            for tokens, scored in windows
        ]

        def texts(begin: int, end: int, ids: Sequence[int] = ids):
            return [lm.tokenizer.decode([one]) for one in ids[begin:end]]

        yield Reading(
            document,
            np.concatenate([*losses, []]).astype("float64"),
            np.concatenate([*contexts, []]).astype("int64"),
            texts,
        )
