"""What subjects share whose model scores rows of ids: texts in, sums out."""

import abc
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import (
    Window,
    encode_pair,
    fit_prompt,
    pair_window,
    rolling_windows,
)
from keras_llm.evaluate.subject import (
    Continuation,
    Likelihood,
    Prompt,
    ScoredTokens,
)
from keras_llm.progress import track

BATCH_TOKENS = 2048  # their logits are the memory: tokens x vocabulary


class Scores(NamedTuple):
    """What a model says of the scored tokens of a window.

    Attributes:
        log_probabilities: `(scored,)`, in nats.
        likeliest: bool `(scored,)`: whether no token is likelier there.

    Example:

    >>> bool(Scores(np.array([-0.1]), np.array([True])).likeliest.all())
    True
    """

    log_probabilities: np.ndarray
    likeliest: np.ndarray


class WindowSubject(abc.ABC):
    """A `Subject` over a model that scores windows of ids.

    Subclasses say how a text becomes ids, what an id looks like, and how a
    batch of windows is scored; the rules of the harness stand here.

    Args:
        name: What reports call it.
        fingerprint: Of everything that the answers depend on.
        context_length: Most tokens that the model reads.
        start: The id that a text starts from: the bos, else the eos.
        batch_tokens: Tokens computed at once, padding included.

    Example:

    >>> class Even(WindowSubject):  # finds 256 bytes equally likely
    ...     def encode(self, text): return list(text.encode())
    ...     def spell(self, ids): return [chr(i) for i in ids]
    ...     def score(self, windows):
    ...         return [Scores(np.full(n, -np.log(256)), np.zeros(n, bool))
    ...             for _, n in windows]
    ...     def generate(self, prompts): return ["" for _ in prompts]
    >>> subject = Even("even", "1", context_length=4, start=0)
    >>> round(subject.rolling(["a rose"])[0] / np.log(2))
    -48
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        context_length: int,
        start: int | None,
        batch_tokens: int = BATCH_TOKENS,
    ):
        self.name, self.fingerprint = name, fingerprint
        self.context_length, self._start = context_length, start
        self._batch_tokens = batch_tokens

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns a text's ids, with whatever the model expects first."""

    @abc.abstractmethod
    def spell(self, ids: Sequence[int]) -> list[str]:
        """Returns each id's text."""

    @abc.abstractmethod
    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores one batch; see `evaluate.pairs_rule` for windows."""

    @abc.abstractmethod
    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """As `Subject.generate`."""

    @property
    def start(self) -> int:
        """The id that a text starts from.

        Raises:
            InputError: The tokenizer has neither a bos nor an eos.
        """
        if self._start is None:
            raise InputError(
                "Expected a tokenizer with a bos or eos token, which a first "
                f"token is predicted from. Received: {self.name}, whose has "
                "neither. Give every request a context, or add a bos token."
            )
        return self._start

    def likelihoods(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """As `Subject.likelihoods`."""
        found = self._scored([self.window(request) for request in requests])
        return [
            Likelihood(
                float(one.log_probabilities.sum(dtype="float64")),
                bool(one.likeliest.all()),
            )
            for one in found
        ]

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """As `Subject.rolling`."""
        return [
            float(one.log_probabilities.sum())
            for one in self.token_scores(texts)
        ]

    def token_scores(
        self, texts: Sequence[str], stride: int | None = None
    ) -> list[ScoredTokens]:
        """As `Subject.token_scores`; the start token predicts the first.

        Args:
            texts: The texts.
            stride: Of the windows, see `rolling_windows`.
        """
        rows = [self.text_ids(text) for text in texts]
        windows = [
            [*rolling_windows(ids, self.start, self.context_length, stride)]
            for ids in rows
        ]
        found = iter(self._scored([w for each in windows for w in each]))
        return [
            ScoredTokens(
                self.spell(ids),
                np.concatenate(
                    [np.zeros(0)]
                    + [next(found).log_probabilities for _ in each],
                    dtype="float64",
                ),
            )
            for ids, each in zip(rows, windows, strict=True)
        ]

    def window(self, request: Continuation) -> Window:
        """Returns the window that scores one continuation."""
        # Only texts without a context need a token to start from.
        start = self.start if not request.context.strip() else -1
        given, scored = encode_pair(
            self.encode, request.context, request.continuation, start
        )
        return pair_window(given, scored, self.context_length)

    def place(self, tokens: Sequence[int]) -> Any:
        """Returns what windows are sorted by: the longest come first."""
        return -len(tokens)

    def text_ids(self, text: str) -> list[int]:
        """Returns a text's ids without the token that it starts from."""
        ids = self.encode(text) if text else []
        return ids[1:] if ids[:1] == [self.start] else ids

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Returns the end of a prompt that leaves room for the answer."""
        ids = self.encode(prompt.context) if prompt.context else []
        ids = ids or [self.start]
        return fit_prompt(ids, prompt.max_new_tokens, self.context_length)

    def _scored(self, windows: Sequence[Window]) -> list[Scores]:
        """Scores of windows, in their order; equal ones are computed once."""
        keys = [(tuple(tokens), scored) for tokens, scored in windows]
        found: dict[tuple, Scores] = {}
        unique = sorted(set(keys), key=lambda key: self.place(key[0]))
        batches = batches_of(unique, self._batch_tokens)
        for batch in track(batches, "scoring", len(unique), len):
            rows = [(list(tokens), scored) for tokens, scored in batch]
            found.update(zip(batch, self.score(rows), strict=True))
        return [found[key] for key in keys]


def batches_of(keys: Sequence[tuple], most: int) -> Iterator[Sequence[tuple]]:
    """Cuts windows, the longest first, into batches of at most `most` tokens.

    A single window is a batch whatever its length.

    Example:

    >>> [len(b) for b in batches_of([((1,) * 6, 1), ((1, 2), 1)], 8)]
    [1, 1]
    """
    begin = 0
    while begin < len(keys):
        rows = max(most // max(len(keys[begin][0]), 1), 1)
        yield keys[begin : begin + rows]
        begin += rows


def padded(rows: Sequence[Sequence[int]], filler: int = 0) -> np.ndarray:
    """Returns rows of ids as one int64 array, filled up on the right.

    Example:

    >>> padded([[1, 2], [3]]).tolist()
    [[1, 2], [3, 0]]
    """
    width = max(map(len, rows))
    whole = np.full((len(rows), width), filler, "int64")
    for row, ids in zip(whole, rows, strict=True):
        row[: len(ids)] = ids
    return whole
