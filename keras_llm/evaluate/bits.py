"""Perplexity and bits per byte on held-out text, beside honest yardsticks."""

import dataclasses
import lzma
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.pairs_rule import Window, rolling_windows
from keras_llm.records import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class BitsReport(Record):
    """How well a model predicts a text.

    Args:
        documents: Number of texts.
        tokens: Tokens scored, each once.
        bytes: UTF-8 bytes of the texts.
        nats_per_token: Mean negative log-probability.
        perplexity: `exp(nats_per_token)`; depends on the tokenizer.
        bits_per_byte: Total bits over bytes; compares across tokenizers.
        unigram_bits_per_byte: The best possible model without context: each
            token at its own frequency in these very texts.
        xz_bits_per_byte: `xz -9` on the same bytes.

    Example:

    >>> BitsReport(documents=1, tokens=2, bytes=4, nats_per_token=1.0,
    ...     perplexity=2.7, bits_per_byte=0.7, unigram_bits_per_byte=1.0,
    ...     xz_bits_per_byte=2.0).bits_per_byte
    0.7
    """

    documents: int
    tokens: int
    bytes: int
    nats_per_token: float
    perplexity: float
    bits_per_byte: float
    unigram_bits_per_byte: float
    xz_bits_per_byte: float


def bits_per_byte(
    model: Any,
    tokenizer: Any,
    texts: Iterable[str],
    batch_size: int = 16,
    progress: bool = True,
) -> BitsReport:
    """Scores every token of every text once, by the rolling rule.

    Long texts are read in windows of the model's context. Every token is
    scored exactly once; the first window starts with the bos (or eos) token,
    the last one reaches back so that its tokens have a full context.

    Args:
        model: A decoder from `build_decoder`.
        tokenizer: Its tokenizer.
        texts: Held-out texts.
        batch_size: Windows computed at once.
        progress: Whether a bar is shown.

    Raises:
        InputError: There is no text, or the tokenizer has neither a bos nor
            an eos to start with.

    Source: `loglikelihood_rolling` of the lm-evaluation-harness,
    https://github.com/EleutherAI/lm-evaluation-harness.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> model = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> report = bits_per_byte(model, tokenizer, ["a rose is a thorn"])
    >>> 200 < report.perplexity < 300  # knows nothing yet: all 264 alike
    True
    """
    texts = [text for text in texts if text]
    if not texts:
        raise InputError(
            "Expected at least one text to evaluate on. Received: none. "
            "Curate with a larger held-out share."
        )
    start = _start_id(tokenizer)
    ids = tokenizer.encode(texts, disallowed_special=())
    windows = [
        window
        for document in ids
        for window in rolling_windows(
            document, start, model.config.context_length
        )
    ]
    total = _negative_log_likelihood(model, windows, batch_size, progress)
    tokens = sum(map(len, ids))
    size = sum(len(text.encode()) for text in texts)
    nats = total / tokens
    return BitsReport(
        documents=len(texts),
        tokens=tokens,
        bytes=size,
        nats_per_token=nats,
        perplexity=math.exp(min(nats, 700)),
        bits_per_byte=total / math.log(2) / size,
        unigram_bits_per_byte=unigram_bits(ids) / size,
        xz_bits_per_byte=xz_bits(texts) / size,
    )


def unigram_bits(documents: Iterable[Sequence[int]]) -> float:
    """Returns the bits that token frequencies alone need for the documents.

    Example:

    >>> unigram_bits([[1, 1, 2, 2]])
    4.0
    """
    counts = np.bincount(np.concatenate([np.asarray(d) for d in documents]))
    counts = counts[counts > 0].astype("float64")
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def xz_bits(texts: Iterable[str]) -> float:
    """Returns the bits of all texts together under `xz -9`.

    Example:

    >>> xz_bits(["a" * 10_000]) < 2000
    True
    """
    return 8.0 * len(lzma.compress("\n".join(texts).encode(), preset=9))


def _start_id(tokenizer: Any) -> int:
    for candidate in (tokenizer.bos_id, tokenizer.eos_id):
        if candidate is not None:
            return candidate
    raise InputError(
        "Expected a tokenizer with a bos or eos token, which the first token "
        "is predicted from. Received: one with neither."
    )


def _negative_log_likelihood(
    model: Any, windows: list[Window], batch_size: int, progress: bool
) -> float:
    """Total nats of the scored tokens."""
    from keras_llm.evaluate.window_scores import WindowScorer

    score = WindowScorer(model, batch_size * model.config.context_length)
    found = score(windows, progress)
    return -sum(
        float(one.log_probabilities.sum(dtype="float64")) for one in found
    )
