"""Classifier: a model, its tokenizer and its labels, in one object."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from keras_llm.classify import folder as folders
from keras_llm.classify.encoding import encode_texts, texts_of
from keras_llm.classify.forward import Forward, drops, softmax
from keras_llm.classify.model import ClassifierModel
from keras_llm.classify.settings import ClassifierSettings
from keras_llm.errors import InputError


class Classifier:
    """Texts in, labels and probabilities out.

    Args:
        model: From `sequence_model`, with a class for each label.
        tokenizer: The tokenizer of its decoder.
        settings: Labels, how texts are read, temperature and threshold.
        report: What its training came to.

    Attributes:
        forward: From id lists to logits, a `Forward`.

    Raises:
        InputError: The model has another number of classes.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import Ids, sequence_model
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("ham", "spam"), ids=Ids(length=16)))
    >>> classifier.probabilities(["a rose", "is"]).shape
    (2, 2)
    """

    def __init__(
        self,
        model: ClassifierModel,
        tokenizer: Any,
        settings: ClassifierSettings,
        report: dict[str, Any] | None = None,
    ):
        if model.classes != len(settings.labels) or model.pooling is None:
            raise InputError(
                "Expected a model from sequence_model with "
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

    @property
    def temperature(self) -> float:
        """What logits are divided by; see `calibrate`."""
        return self.settings.temperature

    @property
    def threshold(self) -> float | tuple[float, ...] | None:
        """From which probability on a label is given."""
        return self.settings.threshold

    def logits(
        self, texts: Iterable[Any], samples: int | None = None
    ) -> np.ndarray:
        """Returns the logits of texts, temperature not applied.

        Args:
            texts: Strings, or pairs of strings, or `tune.Labelled`. What is
                longer than the model reads is cut.
            samples: How many passes with dropout on. None: one without.

        Returns:
            float32 `(texts, labels)`, or `(samples, texts, labels)`.

        Raises:
            InputError: It is no list of texts, or there is nothing to drop.
        """
        pairs = texts_of(texts, self.settings.pairs)
        rows, _ = encode_texts(pairs, self.tokenizer, self.settings.ids)
        if samples is None:
            return self._stacked(self.forward(rows))
        if samples < 1 or not drops(self.model):
            raise InputError(
                "Expected samples of 1 or more of a model with dropout. "
                f"Received: {samples} of a model "
                f"{'with' if drops(self.model) else 'without'}. Train it "
                "with dropout=0.1 or so."
            )
        passes = [self.forward(rows, dropout=True) for _ in range(samples)]
        return np.stack([self._stacked(one) for one in passes])

    def probabilities(
        self, texts: Iterable[Any], samples: int | None = None
    ) -> np.ndarray:
        """Returns how likely each label is, by the temperature.

        Args:
            texts, samples: As in `logits`; samples are what
                `feedback.rank(method="bald")` takes.

        Returns:
            float32 `(texts, labels)`, or `(samples, texts, labels)`. The sum
            of a row is 1 for labels of kind "single".

        Raises:
            InputError: As for `logits`.
        """
        return self.of_logits(self.logits(texts, samples))

    def of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Returns the probabilities of logits `(..., labels)`, float32."""
        scaled = np.asarray(logits, np.float64) / self.temperature
        if self.settings.many:
            return _sigmoid(scaled).astype(np.float32)
        return softmax(scaled)

    def predict(self, texts: Iterable[Any]) -> list[Any]:
        """Returns the label of each text, or the tuple of its labels.

        Args:
            texts: As in `logits`.

        Raises:
            InputError: As for `logits`.
        """
        return self.chosen(self.probabilities(texts))

    def chosen(self, probabilities: np.ndarray) -> list[Any]:
        """Returns the labels that probabilities `(texts, labels)` give."""
        found, names = self.given(probabilities), self.labels
        if not self.settings.many:
            return [names[i] for i in found]
        return [
            tuple(name for name, yes in zip(names, row, strict=True) if yes)
            for row in found
        ]

    def given(self, probabilities: np.ndarray) -> np.ndarray:
        """Returns the places of the labels, or a matrix of 1 and 0.

        Args:
            probabilities: `(texts, labels)`.

        Returns:
            int32 `(texts,)`; for kind "multi" `(texts, labels)`.
        """
        threshold = self.threshold
        if self.settings.many:
            least = 0.5 if threshold is None else np.array(threshold)
            return (probabilities >= least).astype(np.int32)
        if threshold is not None:
            return (probabilities[:, 1] >= threshold).astype(np.int32)
        return probabilities.argmax(-1).astype(np.int32)

    def scorer(self, label: str) -> Callable[[str], float]:
        """Returns a function from a text to the probability of a label.

        It is what the server's moderation takes as a classifier.

        Raises:
            InputError: There is no such label.
        """
        if label not in self.labels:
            raise InputError(
                f"Expected one of the labels {', '.join(self.labels)}. "
                f"Received: {label!r}."
            )
        place = self.labels.index(label)
        return lambda text: float(self.probabilities([text])[0, place])

    def replace(self, **changes: Any) -> "Classifier":
        """Returns the same with other settings: `temperature`, `threshold`.

        Raises:
            InputError: A value is out of range.
        """
        settings = dataclasses.replace(self.settings, **changes)
        return Classifier(self.model, self.tokenizer, settings, self.report)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes everything that `load` needs, whole or not at all.

        Args:
            folder: A new or empty folder, or an earlier classifier, which
                is replaced as a whole.

        Raises:
            InputError: The folder holds other files.
            OSError: The disk is full or not writable.
        """
        folders.write(self, folder)

    @classmethod
    def load(
        cls, folder: str | os.PathLike, dtype: str | None = "float32"
    ) -> "Classifier":
        """Reads what `save` wrote; the same probabilities come out.

        Args:
            folder: The saved folder.
            dtype: Compute precision. Default: "float32".

        Raises:
            InputError: The folder is no saved classifier, or is damaged.
        """
        return cls(**folders.read(folder, dtype, ClassifierSettings))

    def _stacked(self, logits: list[np.ndarray]) -> np.ndarray:
        if not logits:
            return np.zeros((0, len(self.labels)), np.float32)
        return np.concatenate(logits)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))
