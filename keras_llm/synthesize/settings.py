"""SynthesisSettings: how models are asked, and which examples are kept."""

import dataclasses
import math

from keras_llm.errors import InputError
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesisSettings(Record):
    """How a model is asked, and what becomes of its answers.

    Attributes:
        temperature: Of the drawing; 0 takes the likeliest token. Judges are
            always asked with 0.
        max_new_tokens: Most tokens of an answer. An answer that is cut there
            is dropped where it cannot be read.
        concurrency: Questions under way at once, of an address or a function.
        seed: Of the drawing; another one gives other answers.
        limit: Most documents (or conversations, prompts), the first ones; of
            "self-instruct" the instructions that are wanted. None: all.
        minimum_length: Fewest characters of an example, all fields together.
            None: what the task sets.
        near_duplicates: Jaccard index from which a later example is dropped;
            None keeps them.
        same_language: Drop answers in another language than what they were
            made from.
        privacy: Put placeholders in place of personal data.
        benchmarks: Files of benchmarks: examples with 13 of their words in a
            row are dropped.
        price_in: What a million tokens of questions cost, in any currency.
        price_out: What a million tokens of answers cost.

    Raises:
        InputError: A value is out of range.

    Example:

    >>> SynthesisSettings(limit=100).near_duplicates
    0.7
    """

    temperature: float = 0.7
    max_new_tokens: int = 1024
    concurrency: int = 8
    seed: int = 0
    limit: int | None = None
    minimum_length: int | None = None
    near_duplicates: float | None = 0.7
    same_language: bool = True
    privacy: bool = True
    benchmarks: tuple[str, ...] = ()
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self):
        self._positive("max_new_tokens", "concurrency", "limit")
        self._whole("seed", 0, 2**31 - 1)
        for name in ("temperature", "price_in", "price_out"):
            self._between(name, 0, math.inf)
        if isinstance(self.benchmarks, str):
            raise InputError(
                "Expected a list of benchmark files. Received: "
                f"{self.benchmarks!r}. Write one name as a list, too."
            )
        self._set("benchmarks", tuple(map(str, self.benchmarks)))


DEFAULTS = SynthesisSettings()
