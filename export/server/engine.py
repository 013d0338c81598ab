"""What a server needs of an artifact: rows of tokens that grow together.

An `Engine` holds the rows that are being continued. Between two calls of
`advance` rows may join and leave. One thread owns it: the scheduler's.
"""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from keras_llm.export.host_files import HostFiles
from keras_llm.sampling import GenerationSettings

ALTERNATIVES = 20  # likeliest tokens that are known beside a chosen one


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of a row.

    Attributes:
        id: Its id.
        logprob: Natural logarithm of its probability, where asked for.
        top: The likeliest tokens at its place, `(id, logprob)`, likeliest
            first.
    """

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Progress:
    """What became of a row.

    Attributes:
        tokens: Its new tokens, without one that ends the text.
        done: Whether no more come.
        ended: Whether a token ended the text, and not its length.
        error: Why the row was given up, or None.
    """

    tokens: tuple[Token, ...] = ()
    done: bool = False
    ended: bool = False
    error: Exception | None = None


@dataclasses.dataclass(eq=False)
class Row:
    """One text to be continued.

    Attributes:
        prompt: Its ids, at least one, with room for one more.
        settings: How; its seed is used as it is.
        candidates: Whether log-probabilities are asked for.
        deadline: `time.monotonic()` after which nobody waits for it.
        listener: Called by the scheduler's thread with news of the row.
        left: Set when nobody wants it any more.
    """

    prompt: list[int]
    settings: GenerationSettings
    candidates: bool = False
    deadline: float = float("inf")
    listener: Callable[[Progress], None] = lambda progress: None
    left: bool = False


class Engine(Protocol):
    """An artifact that continues rows of tokens.

    Attributes:
        name: What the artifact is called.
        version: Its version, 1 where it has none.
        adapter: Name and version of the adapter that is on; "" for none.
        host: Tokenizer, chat template and settings.
        most_rows: How many rows it can continue at once.
        rows: The rows that are being continued, in order.
    """

    name: str
    version: int
    adapter: str
    host: HostFiles
    most_rows: int
    rows: list[Row]

    def change(self, joining: Sequence[Row], leaving: Collection[Row]) -> None:
        """Reads the prompts of rows that join; forgets rows that leave."""
        ...

    def advance(self, steps: int) -> list[Progress]:
        """Decodes up to `steps` more tokens; one answer for each row.

        A row's first answer holds the token that its prompt gave, too.
        """
        ...

    def clear(self) -> None:
        """Forgets all rows, after an error."""
        ...

    def score(self, ids: Sequence[int]) -> list[Token]:
        """Returns every token but the first with its log-probability.

        Raises:
            InputError: The artifact cannot.
        """
        ...

    def embed(self, rows: Sequence[list[int]]) -> Any:
        """Returns a float32 vector for each row of ids `(rows, size)`.

        Raises:
            InputError: The artifact cannot.
        """
        ...
