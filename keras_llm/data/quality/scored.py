"""A step that drops what a trained model of quality finds too bad."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from keras_llm.data.counts import Counts
from keras_llm.data.document import Document
from keras_llm.data.quality.trained import QualityModel
from keras_llm.data.steps import Step
from keras_llm.errors import InputError


def quality_score(
    model: QualityModel | str | os.PathLike,
    threshold: float = 0.5,
    fingerprint: str | None = None,
) -> Step:
    """Drops documents that a trained model finds too bad.

    The others get the probability, with four digits, as `quality` in their
    metadata, so that later steps can sort or weigh by it.

    Args:
        model: A `QualityModel`, or the file it was saved to. Steps that other
            processes build again from their settings need the file.
        threshold: Least probability; 0 only scores.
        fingerprint: What the fingerprint of the model must be; None: any.

    Raises:
        InputError: The file is no model or has another fingerprint, or
            `threshold` is no probability.

    Example:

    >>> import numpy as np
    >>> model = QualityModel(np.zeros(8, np.float32), 1.0, 0.0)
    >>> counts = Counts("quality_score")
    >>> step = quality_score(model)
    >>> [d.metadata for d in step([Document("So so.", "a")], counts)]
    [{'quality': 0.5}]
    """
    if not 0 <= threshold <= 1:
        raise InputError(
            "Expected a threshold from 0 to 1, a probability. Received: "
            f"{threshold}."
        )
    file = None if isinstance(model, QualityModel) else os.fspath(model)
    judge = (
        model if isinstance(model, QualityModel) else QualityModel.load(model)
    )
    if fingerprint not in (None, judge.fingerprint):
        raise InputError(
            f"Expected a quality model with the fingerprint {fingerprint:.12}. "
            f"Received: {judge.fingerprint:.12}. The file was replaced since: "
            "score all documents again, with one model."
        )

    def run(
        documents: Iterable[Document], counts: Counts
    ) -> Iterator[Document]:
        for document in documents:
            score = round(judge.probability(document.text), 4)
            if score < threshold:
                counts.drop(document, f"quality below {threshold}")
            else:
                metadata = {**document.metadata, "quality": score}
                yield replace(document, metadata=metadata)

    settings = {
        "model": file,
        "fingerprint": judge.fingerprint,
        "threshold": threshold,
    }
    return Step("quality_score", run, settings)
