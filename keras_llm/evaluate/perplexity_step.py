"""A curation step by a language model: what it finds too odd, or too easy."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.quality.percentiles import check_percentiles
from keras_llm.data.steps import Step
from keras_llm.errors import InputError
from keras_llm.evaluate.text_costs import Measure, measure_of
from keras_llm.files import sha256_of
from keras_llm.progress import track

NAME = "keras_llm.evaluate:perplexity_filter"  # where workers find it
FIELDS = {"byte": "bits_per_byte", "token": "perplexity"}
BLOCK = 200_000  # characters of documents held at a time
MANIFEST = "keras_llm.json"  # of a model folder, with hashes of all its files


def perplexity_filter(
    model: str | os.PathLike,
    above: float | None = None,
    below: float | None = None,
    per: str = "byte",
    language: str | None = None,
    characters: int = 2000,
    fingerprint: str | None = None,
) -> Step:
    """Drops documents that a language model predicts too badly or too well.

    Too badly: letters at random, lists of keywords, another language than the
    model's. Too well: text that stands in its training set, and the same words
    again and again once a model has learned to copy. The number, with four
    digits, becomes `bits_per_byte` (or `perplexity`) in the metadata. Without
    limits nothing is dropped for it: `data.keep_percentiles` can then keep
    the head or the middle of the corpus. Short texts have high numbers,
    because their first words are read without a context: run
    `minimum_length` first.

    Args:
        model: A folder written by `CausalLM.save`; a small model, trained on
            text that is known to be clean. It is loaded with the first
            document, once.
        above: The number must be this or above; None: any.
        below: The number must be this or below; None: any.
        per: "byte" for bits per byte, which compare across tokenizers, or
            "token" for the perplexity of a token.
        language: Documents of this language only are judged, for example
            "en"; the others go on as they are. None judges all.
        characters: How much is read of a document, from its start.
        fingerprint: What the fingerprint of the model must be; None: any.

    Raises:
        InputError: There is no such model, or it has another fingerprint, or
            a setting is off. With the first document: its files are damaged.

    Source: CCNet, Wenzek et al. 2019, https://arxiv.org/abs/1911.00359, which
    keeps by percentiles of the perplexity of a 5-gram model, per language.

    Example:

    >>> import tempfile
    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> folder = tempfile.mkdtemp() + "/model"
    >>> CausalLM(build_decoder(DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     HostTokenizer.train(["a"], 261)).save(folder)
    >>> counts = Counts("perplexity_filter")
    >>> step = perplexity_filter(folder, below=6)
    >>> list(step([Document("It knows nothing yet.", "a")], counts))
    []
    >>> dict(counts.dropped)
    {'bits per byte above 6': 1}
    """
    _check_limits(above, below)
    _check_characters(characters)
    found = _fingerprint(model)
    if fingerprint not in (None, found):
        raise InputError(
            f"Expected a model with the fingerprint {fingerprint:.12}. "
            f"Received: {found:.12} in {os.fspath(model)}. It was replaced "
            "since: score all documents again, with one model."
        )
    measure = measure_of(model, per)
    field = FIELDS[per]
    words = field.replace("_", " ")

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document, value in _measured(
            documents, measure, language, characters
        ):
            if value is None:
                yield document
            elif math.isnan(value):
                counts.drop(document, "no text to predict")
            elif above is not None and value < above:
                counts.drop(document, f"{words} below {above:g}")
            elif below is not None and value > below:
                counts.drop(document, f"{words} above {below:g}")
            else:
                metadata = {**document.metadata, field: value}
                yield replace(document, metadata=metadata)

    settings = {
        "model": os.fspath(model),
        "above": above,
        "below": below,
        "per": per,
        "language": language,
        "characters": characters,
        "fingerprint": found,
    }
    return Step(NAME, run, settings)


def fit_thresholds(
    model: str | os.PathLike,
    documents: Iterable[Document],
    keep: tuple[float, float] = (1, 99),
    per: str = "byte",
    language: str | None = None,
    characters: int = 2000,
) -> tuple[float, float]:
    """Returns limits for `perplexity_filter` that a clean sample fits into.

    `perplexity_filter(model, *fit_thresholds(model, sample))` then drops what
    is unlike the sample, however much of that there is.

    Args:
        model: A folder written by `CausalLM.save`.
        documents: A sample of clean documents, a few hundred or more, of all
            kinds that are to be kept. The model must not have been trained
            on them, which would make them look better than others.
        keep: Percentiles of the sample that become `above` and `below`.
        per, language, characters: As for `perplexity_filter`.

    Returns:
        `(above, below)`.

    Raises:
        InputError: No document was measured, or a setting is off.

    Example:

    >>> fit_thresholds("runs/model", [], keep=(99, 1))
    Traceback (most recent call last):
        ...
    keras_llm.errors.InputError: Expected two percentiles from 0 to 100, the \
lower one first. Received: (99, 1).
    """
    check_percentiles(keep)
    _check_characters(characters)
    _fingerprint(model)
    documents = track(documents, "scoring")
    values = [
        value
        for _, value in _measured(
            documents, measure_of(model, per), language, characters
        )
        if value is not None and not math.isnan(value)
    ]
    if not values:
        raise InputError(
            "Expected a sample of clean documents. Received: none with text"
            f"{f' in the language {language}' if language else ''}. Pass a few "
            "hundred."
        )
    low, high = np.percentile(values, keep).round(4).tolist()
    return low, high


def _measured(
    documents: Iterable[Document],
    measure: Measure,
    language: str | None,
    characters: int,
) -> Iterator[tuple[Document, float | None]]:
    """Yields each document with its number, None for another language."""
    for block in _blocks(documents):
        judged = [language in (None, one.language) for one in block]
        pairs = list(zip(block, judged, strict=True))
        texts = [one.text[:characters] for one, mine in pairs if mine]
        values = iter(measure(texts) if texts else ())
        for one, mine in pairs:
            yield one, next(values) if mine else None


def _blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    block: list[Document] = []
    size = 0
    for document in documents:
        block.append(document)
        size += len(document.text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _fingerprint(folder: str | os.PathLike) -> str:
    """A hash of the hashes of everything in a model folder."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise InputError(
            f"Expected a model folder written by CausalLM.save at {folder}. "
            f"Received: a path without {MANIFEST}."
        )
    return sha256_of(path)


def _check_limits(above: float | None, below: float | None) -> None:
    low = -math.inf if above is None else above
    high = math.inf if below is None else below
    if not low <= high:
        raise InputError(
            "Expected above to be at most below: documents between the two "
            f"are kept. Received: above={above}, below={below}."
        )


def _check_characters(characters: int) -> None:
    if characters < 1:
        raise InputError(
            f"Expected characters >= 1. Received: {characters}. The default "
            "is 2000."
        )
