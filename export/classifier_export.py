"""A classifier as a SavedModel: texts in, labels out, in any server."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_llm.classify import Classifier
from keras_llm.classify.copies import plain_copy
from keras_llm.classify.encoding import texts_of
from keras_llm.errors import ExportError, InputError
from keras_llm.export.classifier_graph import SECOND, TEXT, ClassifierGraph
from keras_llm.export.graph_ops import check_operations, operations
from keras_llm.export.saved_model_export import (
    HOST_FILES,
    LEAST_PROMPT_BYTES,
    LONGEST_TOKENS,
)
from keras_llm.export.verify import PROMPTS, run_probe
from keras_llm.export.verify_cases import Case
from keras_llm.export.version_folder import version_folder
from keras_llm.files import atomic_path
from keras_llm.records import Record
from keras_llm.stopping import SEPARATOR

SETTINGS = "classifier.json"
TOLERANCE = 1e-4  # of a probability


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierReport(Record):
    """What was exported, and how it did in the check.

    Attributes:
        path: The version's folder, or the `.tflite` file.
        size: Bytes on disk.
        labels: The labels, in the order of the probabilities.
        operations: Kinds of TensorFlow operations; none for LiteRT.
        difference: The largest of a probability from Keras's; None if it was
            not checked.
        milliseconds: Of a text alone in the check, where it was measured.

    Example:

    >>> ClassifierReport(path="spam/1", size=7, labels=("ham", "spam")).size
    7
    """

    path: str
    size: int
    labels: tuple[str, ...]
    operations: tuple[str, ...] = ()
    difference: float | None = None
    milliseconds: float | None = None


def classifier(
    classifier: Classifier,
    path: str | os.PathLike,
    *,
    version: int | None = None,
    verify: bool = True,
    texts: Sequence[Any] = PROMPTS,
) -> ClassifierReport:
    """Writes a classifier as a SavedModel, its tokenizer in the graph.

    The signature `serving_default` has one row for each text: `text`
    (with pairs also `text_pair`) -> `label`, `probability` (of that label)
    and `probabilities` float32 `(texts, labels)`, with the classifier's
    temperature and threshold. Of kind "multi", `label` is all that are given
    with U+001F between them, and `probability` the highest. The labels in
    their order stand in `assets.extra/keras_llm/classifier.json`.

    It needs built-in operations only (those of tensorflow-text for
    SentencePiece and WordPiece, as `export.saved_model` says).

    Args:
        classifier: Of any precision, adapters merged in; it stays as it is.
        path: The model's folder; this version goes to `path/<version>`.
        version: A number of 0 or more. Default: one more than the highest.
        verify: Whether to run it in a new process that has only TensorFlow,
            and to compare with Keras.
        texts: What is compared.

    Raises:
        InputError: The version exists, or Keras runs on another backend.
        OSError: The disk is full or not writable.
        ExportError: The graph has an operation that stock TensorFlow lacks,
            or gives another label than Keras, or a probability that is
            1e-4 away. Nothing is written then.

    Example:

    >>> import tempfile
    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import ClassifierSettings, Ids, sequence_model
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> flowers = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> report = classifier(flowers, tempfile.mkdtemp(), verify=False)
    >>> Path(report.path).name, report.difference
    ('1', None)
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "Expected the TensorFlow backend for a SavedModel. Received: "
            f"{keras.backend.backend()}. Save the classifier, then load it "
            "with KERAS_BACKEND=tensorflow."
        )
    folder = version_folder(Path(path), version)
    plain = plain_copy(classifier)
    longest = max(
        LEAST_PROMPT_BYTES, LONGEST_TOKENS * plain.settings.ids.length
    )
    with atomic_path(folder) as temporary:
        graph = ClassifierGraph(plain, longest)
        traced = graph.signatures()
        module = tf.Module()
        module.weights = [weight.value for weight in plain.model.weights]
        tf.saved_model.save(module, str(temporary), traced)
        (temporary / HOST_FILES).mkdir(parents=True)
        plain.settings.save(temporary / HOST_FILES / SETTINGS)
        kinds = operations(temporary)
        check_operations(kinds, plain.tokenizer.plugins)
        found = _verified(plain, temporary, texts) if verify else {}
    return ClassifierReport(
        path=str(folder),
        size=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        labels=plain.labels,
        operations=kinds,
        **found,
    )


def _verified(
    plain: Classifier, folder: Path, texts: Sequence[Any]
) -> dict[str, float]:
    """How it compares with Keras, in a process with TensorFlow only."""
    pairs = plain.settings.pairs
    if pairs and texts is PROMPTS:
        texts = list(zip(PROMPTS, reversed(PROMPTS), strict=True))
    texts = texts_of(texts, pairs)
    inputs: dict[str, list] = {TEXT: [one for one, _ in texts]}
    if pairs:
        inputs[SECOND] = [two for _, two in texts]
    alone = {name: rows[:1] for name, rows in inputs.items()}
    calls = {
        "together": Case("serving_default", inputs, {}),
        "alone": Case("serving_default", alone, {}),
    }
    timed = calls["alone"].call()
    answer = run_probe(folder, calls, timed, plain.tokenizer.plugins)
    given = [one if two is None else (one, two) for one, two in texts]
    difference = compare(plain, given, answer["found"]["together"])
    return {
        "difference": difference,
        "milliseconds": 1000 * answer["timed_seconds"],
    }


def compare(
    plain: Classifier, texts: Sequence[Any], found: dict[str, Any]
) -> float:
    """Returns the largest difference of a probability from Keras's.

    Args:
        plain: The classifier that was exported.
        texts: What was asked.
        found: `probabilities` of the export, and `label` if it has it.

    Raises:
        ExportError: It is over 1e-4, or a label differs.

    Example: see `classifier`.
    """
    expected = plain.probabilities(texts)
    received = np.array(found["probabilities"])
    difference = float(np.abs(expected - received).max())
    labels = plain.chosen(expected)
    names = [
        SEPARATOR.join(one) if plain.settings.many else one for one in labels
    ]
    others = found.get("label", names)
    if not difference <= TOLERANCE or names != others:
        raise ExportError(
            f"Expected the labels of Keras, {names!r:.200}, and its "
            f"probabilities within {TOLERANCE}. Received: {others!r:.200}, "
            f"and a difference of {difference:.2g}. Nothing was exported. "
            "Please report this."
        )
    return difference
