"""A classifier or tagger for phones: tokens in, probabilities out."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.classify import Classifier, Tagger
from keras_llm.classify.copies import plain_copy
from keras_llm.errors import ExportError, InputError
from keras_llm.export import _worker
from keras_llm.export.classifier_export import TOLERANCE, ClassifierReport
from keras_llm.files import atomic_path, write_text

SIDE = ".json"
PADDING = -1
CHECKS = 8  # rows that are compared


def classifier_litert(
    one: Classifier | Tagger,
    path: str | os.PathLike,
    *,
    width: int | None = None,
    verify: bool = True,
) -> ClassifierReport:
    """Writes a classifier as `.tflite`, from ids to probabilities.

    Its signature `serving_default` takes `tokens` int32 `(1, width)`, -1
    after the end of the text, and gives `probabilities` float32: `(1,
    labels)`, or for a tagger `(1, width, labels)`, of which those at the
    token of each word count. The temperature is in them. Beside the file
    stands another with ".json" behind its name: labels, threshold, and which
    ids start and end a text. Built-in operations only.

    Args:
        one: A `Classifier` or a `Tagger`, of any precision, adapters merged
            in; it stays as it is.
        path: Ends in ".tflite".
        width: The most tokens. Each text costs as much as one of this
            length. Default: all that it can read.
        verify: Whether to run it with `ai_edge_litert` and to compare with
            Keras, on random ids.

    Raises:
        InputError: The path has another end, or `width` is out of range.
        ExportError: Conversion failed, or a probability is 1e-4 away from
            Keras's. Nothing is written then.
        OSError: The disk is full or not writable.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import ClassifierSettings, Ids, sequence_model
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> flowers = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> path = Path(tempfile.mkdtemp()) / "flowers.tflite"
    >>> classifier_litert(flowers, path).difference < 1e-4
    True
    """
    path, most = Path(path), one.settings.ids.length
    width = most if width is None else width
    if path.suffix != ".tflite" or not 2 <= width <= most:
        raise InputError(
            f"Expected a path that ends in .tflite, and a width from 2 to "
            f"{most}. Received: {path}, {width}."
        )
    plain = plain_copy(one)
    tagger = isinstance(one, Tagger)
    with (
        tempfile.TemporaryDirectory(prefix="keras-llm-") as work,
        atomic_path(path) as temporary,
    ):
        saved = Path(work) / "saved"
        plain.save(saved)
        _worker.run(
            "classifier_convert:make",
            folder=saved,
            path=temporary,
            width=width,
            tagger=tagger,
        )
        found = _verified(plain, temporary, width) if verify else {}
        _write_side(plain, path, width)
    return ClassifierReport(
        path=str(path),
        size=path.stat().st_size,
        labels=plain.labels,
        **found,
    )


def _verified(plain: Any, file: Path, width: int) -> dict[str, Any]:
    """How far it is from Keras on random rows of several lengths."""
    random = np.random.default_rng(0)
    lengths = np.linspace(1, width, CHECKS).astype(int)
    most = plain.tokenizer.vocabulary_size
    rows = [random.integers(0, most, n).astype(np.int32) for n in lengths]
    answer = _worker.run(
        "classifier_convert:measure",
        path=file,
        rows=[row.tolist() + [PADDING] * (width - len(row)) for row in rows],
    )
    difference = 0.0
    logits = plain.forward(rows)
    for expected, found in zip(logits, answer["found"], strict=True):
        expected = plain.of_logits(expected)
        received = np.array(found).reshape(-1, len(plain.labels))
        gap = np.abs(received[: len(expected)] - expected).max()
        difference = max(difference, float(gap))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"Expected probabilities within {TOLERANCE} of Keras's. Received: "
            f"a difference of {difference:.2g}. Nothing was exported. Please "
            "report this."
        )
    return {"difference": difference, "milliseconds": answer["milliseconds"]}


def _write_side(plain: Any, path: Path, width: int) -> None:
    side = path.with_name(path.name + SIDE)
    told = {
        **plain.settings.to_dict(),
        "width": width,
        "padding": PADDING,
        "tokenizer": plain.tokenizer.fingerprint,
    }
    write_text(side, json.dumps(told, indent=2) + "\n")
