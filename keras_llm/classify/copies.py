"""Plain copies of classifiers: what exports work on."""

from typing import Any

from keras_llm.adapters import AdapterState
from keras_llm.adapters.copies import plain_values
from keras_llm.classify.model import blank_model


def plain_copy(one: Any) -> Any:
    """Returns a classifier in float32 and without adapters, which does alike.

    Args:
        one: A `Classifier` or a `Tagger`; it stays as it is. Its active
            adapter is merged in the copy, integers become floats.

    Example:

    >>> from keras_llm import BytePairTokenizer, DecoderConfig, build_decoder
    >>> from keras_llm.classify import (Classifier, ClassifierSettings, Ids,
    ...     sequence_model)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2),
    ...     "mixed_bfloat16")
    >>> classifier = Classifier(sequence_model(decoder, 2), tokenizer,
    ...     ClassifierSettings(labels=("a", "b"), ids=Ids(length=16)))
    >>> plain_copy(classifier).model.dtype_policy.name
    'float32'
    """
    model = one.model
    copy = blank_model(
        model.config,
        "float32",
        AdapterState(),
        *(model.classes, model.pooling, model.dropout),
    )
    values = plain_values(model)
    for weight in copy.weights:
        weight.assign(values[weight.path]())
    return type(one)(copy, one.tokenizer, one.settings, one.report)
