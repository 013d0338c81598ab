"""How good a classifier is on labelled texts."""

from typing import Any

from keras_llm.classify.encoding import labelled
from keras_llm.evaluate.classification import (
    ClassificationReport,
    classification_scores,
)
from keras_llm.tune import label_ids, label_matrix


def evaluate(classifier: Any, examples: Any) -> dict[str, Any]:
    """Returns the metrics of a classifier as plain values.

    Args:
        classifier: A `Classifier`.
        examples: As `train` of `sequence`.

    Returns:
        The numbers of `classification_report`: `examples`, `accuracy` (of
        kind "multi": the share of texts with all labels right), `loss`,
        `calibration_error`, `brier`, `auc`, what `scores` gives, and
        `errors`, their standard errors by the same names.

    Raises:
        InputError: There is no example, or a label is unknown.

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
    return classification_report(classifier, examples).to_dict()


def classification_report(
    classifier: Any, examples: Any, name: str = "classification"
) -> ClassificationReport:
    """Returns how good a classifier is, for a page, a gate or a file.

    Args:
        classifier, examples: As for `evaluate`.
        name: Before the names of its measures, as in "spam/accuracy".

    Raises:
        InputError: As for `evaluate`.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import (Classifier, ClassifierSettings, Ids,
    ...     sequence_model)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2))
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> found = classification_report(classifier, [("rose", "a"), ("is", "b")])
    >>> found.measures()["classification/accuracy"].count
    2
    """
    examples = labelled(examples)
    settings = classifier.settings
    find = label_matrix if settings.many else label_ids
    probabilities = classifier.probabilities(examples)
    return classification_scores(
        find(examples, settings.labels),
        probabilities,
        settings.labels,
        found=classifier.given(probabilities),
        name=name,
    )
