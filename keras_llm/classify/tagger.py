"""Tagger: labels of words, as in named entity recognition."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_llm.classify import folder as folders
from keras_llm.classify.forward import Forward, softmax
from keras_llm.classify.model import ClassifierModel
from keras_llm.classify.settings import TaggerSettings
from keras_llm.classify.span_report import SpanReport, span_report
from keras_llm.classify.spans import Span, spans_of
from keras_llm.classify.words import windows_of
from keras_llm.errors import InputError
from keras_llm.tune import Tagged, tag_ids


class Tagger:
    """Sentences in, a label for each word out.

    Args:
        model: From `token_model`, with a class for each label.
        tokenizer: The tokenizer of its decoder.
        settings: Labels, and how words are read.
        report: What its training came to.

    Attributes:
        forward: From id lists to logits, a `Forward`.

    Raises:
        InputError: The model has another number of classes.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import Ids, token_model
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tagger = Tagger(token_model(decoder, 2), tokenizer,
    ...     TaggerSettings(labels=("B-flower", "O"), ids=Ids(length=16)))
    >>> [len(tags) for tags in tagger.predict([["a", "rose"], ["is"]])]
    [2, 1]
    """

    def __init__(
        self,
        model: ClassifierModel,
        tokenizer: Any,
        settings: TaggerSettings,
        report: dict[str, Any] | None = None,
    ):
        if model.classes != len(settings.labels) or model.pooling is not None:
            raise InputError(
                "Expected a model from token_model with "
                f"{len(settings.labels)} classes, one for each label. "
                f"Received: {model.classes}, pooling {model.pooling!r}."
            )
        self.model, self.tokenizer = model, tokenizer
        self.settings, self.report = settings, report or {}
        self.forward = Forward(model)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities."""
        return self.settings.labels

    def probabilities(
        self, sentences: Iterable[Sequence[str] | Tagged]
    ) -> list[np.ndarray]:
        """Returns how likely each label of each word is.

        Args:
            sentences: Lists of words, of any length.

        Returns:
            For each sentence float32 `(words, labels)`.

        Raises:
            InputError: A sentence is a string, or a word is empty.
        """
        rows = [_words(one) for one in sentences]
        found = [
            np.zeros((len(words), len(self.labels)), np.float32)
            for words in rows
        ]
        windows = [
            (number, window)
            for number, words in enumerate(rows)
            for window in windows_of(words, self.tokenizer, self.settings)
        ]
        logits = self.forward([window.ids for _, window in windows])
        for (number, window), one in zip(windows, logits, strict=True):
            inside = window.words >= 0
            found[number][window.words[inside]] = self.of_logits(one[inside])
        return found

    def of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Returns the probabilities of logits `(..., labels)`, float32."""
        return softmax(logits)

    def predict(
        self, sentences: Iterable[Sequence[str] | Tagged]
    ) -> list[list[str]]:
        """Returns the likeliest label of each word.

        Args:
            sentences: As in `probabilities`.

        Raises:
            InputError: As for `probabilities`.
        """
        return [
            [self.labels[place] for place in one.argmax(-1)]
            for one in self.probabilities(sentences)
        ]

    def spans(
        self, sentences: Iterable[Sequence[str] | Tagged]
    ) -> list[list[Span]]:
        """Returns the spans that the labels mark in each sentence.

        Args:
            sentences: As in `probabilities`.

        Raises:
            InputError: As for `probabilities`.
        """
        return [spans_of(tags) for tags in self.predict(sentences)]

    def save(self, folder: str | os.PathLike) -> None:
        """Writes everything that `load` needs; see `Classifier.save`."""
        folders.write(self, folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, dtype: str | None = "float32"
    ) -> "Tagger":
        """Reads what `save` wrote; see `Classifier.load`."""
        return cls(**folders.read(folder, dtype, TaggerSettings))


def evaluate_tags(tagger: Tagger, sentences: Sequence[Tagged]) -> dict:
    """Returns the numbers of `tagger_report` as plain values.

    Args:
        tagger: The tagger.
        sentences: Sentences with their tags.

    Returns:
        `sentences`, `accuracy` of words, what `span_scores` gives, and
        `errors`, their standard errors by the same names.

    Raises:
        InputError: A tag is unknown, or there is no sentence.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import Ids, token_model
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tagger = Tagger(token_model(decoder, 2), tokenizer,
    ...     TaggerSettings(labels=("B-flower", "O"), ids=Ids(length=16)))
    >>> evaluate_tags(tagger, [Tagged(("a", "rose"), ("O", "B-flower"))]
    ...     )["kinds"]["flower"]["support"]
    1
    """
    return tagger_report(tagger, sentences).to_dict()


def tagger_report(tagger: Tagger, sentences: Sequence[Tagged]) -> SpanReport:
    """Returns how well a tagger finds spans, for a page, a gate or a file.

    Args and errors as for `evaluate_tags`.

    Example:

    >>> class Same:
    ...     labels = ("B-flower", "O")
    ...     def predict(self, sentences):
    ...         return [list(one.labels) for one in sentences]
    >>> report = tagger_report(Same(), [Tagged(("rose",), ("B-flower",))])
    >>> report.measures()["spans/f1"].value
    1.0
    """
    truth = [list(one.labels) for one in sentences]
    tag_ids(sentences, tagger.labels)
    return span_report(truth, tagger.predict(sentences))


def _words(sentence: Any) -> Sequence[str]:
    if isinstance(sentence, str):
        raise InputError(
            "Expected sentences as lists of words. Received: a string "
            f"({sentence!r:.40}). Cut it into words as the training set is "
            "cut; sentence.split() may do."
        )
    return sentence.words if isinstance(sentence, Tagged) else sentence
