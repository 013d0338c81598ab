"""How good a classifier is: accuracy, precision, recall, F1, confusion.

By scikit-learn, and for spans by seqeval (extra `eval`).
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.classify.calibration import calibration_error, mean_loss
from keras_llm.classify.encoding import labelled
from keras_llm.errors import InputError
from keras_llm.tune import label_ids, label_matrix


def need_scikit_learn(name: str = "sklearn") -> None:
    """Makes sure that the metrics' library is there, before any work.

    Raises:
        InputError: It is not installed.

    Example:

    >>> need_scikit_learn()
    """
    if importlib.util.find_spec(name) is None:
        raise InputError(
            f"Expected the library {name} for metrics. Received: an "
            'environment without it. Run pip install "keras_llm[eval]".'
        )


def evaluate(classifier: Any, examples: Any) -> dict[str, Any]:
    """Returns the metrics of a classifier on labelled texts.

    Args:
        classifier: A `Classifier`.
        examples: As `train` of `sequence`.

    Returns:
        `examples`, `accuracy` (of kind "multi": the share of texts with all
        labels right), `loss`, `calibration_error`, and what `scores` gives.

    Raises:
        InputError: A label is unknown, or scikit-learn is missing.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import (Classifier, ClassifierSettings, Ids,
    ...     sequence_model)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> evaluate(classifier, [("rose", "a"), ("is", "b")])["examples"]
    2
    """
    need_scikit_learn()
    examples = labelled(examples)
    settings = classifier.settings
    find = label_matrix if settings.many else label_ids
    targets = find(examples, settings.labels)
    probabilities = classifier.probabilities(examples)
    found = classifier.given(probabilities)
    right = found == targets
    right = right.all(-1) if settings.many else right
    return {
        "examples": len(examples),
        "accuracy": float(right.mean()),
        "loss": mean_loss(probabilities, targets),
        "calibration_error": calibration_error(probabilities, targets),
        **scores(targets, found, settings.labels),
    }


def scores(
    targets: np.ndarray, found: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """Returns precision, recall and F1 of each label, and their means.

    A label that is never given has a precision of 0.

    Args:
        targets: `(texts,)`, or 0 and 1 `(texts, labels)`.
        found: Of the same shape: what was given.
        names: The labels.

    Returns:
        `labels`: by name `precision`, `recall`, `f1` and `support`;
        `macro_f1`, `micro_f1`; for single labels `confusion`, a row for each
        true label.

    Source: scikit-learn, https://scikit-learn.org.

    Example:

    >>> found = scores(np.array([0, 0, 1]), np.array([0, 1, 1]), ("a", "b"))
    >>> found["labels"]["b"]["recall"], found["confusion"]
    (1.0, [[1, 1], [0, 1]])
    """
    need_scikit_learn()
    from sklearn import metrics

    places = list(range(len(names)))
    each = metrics.precision_recall_fscore_support(
        targets, found, labels=places, zero_division=0.0
    )
    kinds = ("precision", "recall", "f1", "support")
    labels = {
        name: {
            kind: column[place].item()
            for kind, column in zip(kinds, each, strict=True)
        }
        for place, name in enumerate(names)
    }
    means = {
        f"{mean}_f1": float(
            metrics.f1_score(
                targets, found, labels=places, average=mean, zero_division=0.0
            )
        )
        for mean in ("macro", "micro")
    }
    several = np.ndim(targets) == 2
    table = None
    if not several:
        table = metrics.confusion_matrix(targets, found, labels=places)
    own = {} if table is None else {"confusion": table.tolist()}
    return {"labels": labels, **means, **own}
