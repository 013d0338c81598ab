"""Classifiers of texts and of words on the layers of a decoder.

The decoder's head, from hidden states to the vocabulary, is replaced by one
to the labels; everything below is the decoder's own, weights included.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_llm.adapters import AdapterState, restore, state_of
from keras_llm.classify.pooling import Pooling
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.layers import Dropout
from keras_llm.model import Decoder
from keras_llm.sketch import blank_decoder

INPUTS = ("tokens", "positions", "segments", "texts")
UNUSED = "token_embedding/reverse_embeddings"  # an untied head


@keras.saving.register_keras_serializable("keras_llm")
class ClassifierModel(keras.Model):
    """The functional model that `sequence_model` and `token_model` return.

    Attributes:
        config: The `DecoderConfig` of its decoder.
        pooling: As in `sequence_model`, or None for labels of tokens.
        classes: How many labels there are.
        dropout: Share of the head's inputs that training drops.

    Example:

    >>> from keras_llm import build_decoder
    >>> model = sequence_model(build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2)), 2)
    >>> isinstance(model, ClassifierModel), model.config.hidden_dim
    (True, 8)
    """

    config: DecoderConfig
    pooling: str | None
    classes: int
    dropout: float

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs on named inputs, or on bare tokens; others are passed over."""
        given = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        known = {name: given.get(name) for name in self.input}
        return super().__call__(known, *args, **kwargs)

    def compute_output_spec(self, inputs: Any, *_: Any, **__: Any) -> Any:
        """Returns the logits' spec, so that it can be part of other models."""
        tokens, texts = inputs["tokens"], inputs.get("texts")
        places = 1 if texts is None else texts.shape[1]
        if self.pooling is None:
            places = tokens.shape[1]
        shape = (tokens.shape[0], places, self.classes)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` builds the same model from."""
        return {
            "config": self.config.to_dict(),
            "adapters": state_of(self).to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "pooling": self.pooling,
            "classes": self.classes,
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        """Builds the model that `get_config` described."""
        del custom_objects
        return blank_model(
            DecoderConfig.from_dict(config["config"]),
            keras.dtype_policies.deserialize(config["dtype"]),
            AdapterState.from_dict(config["adapters"]),
            config["classes"],
            config["pooling"],
            config["dropout"],
        )


def sequence_model(
    decoder: Any,
    classes: int,
    pooling: str = "last",
    dropout: float = 0.0,
    seed: int | None = None,
) -> ClassifierModel:
    """Builds a model from texts to logits of labels on a decoder's layers.

    Inputs: `tokens` int32 `(rows, time)` and optionally `segments` (0 is
    padding) and `positions`, as the decoder's. A row may hold several texts,
    with segments 1, 2, ...: `texts` int32 `(rows, texts)` then names those
    to classify. Output: float32 logits `(rows, texts, classes)`, with one
    text where `texts` is not given.

    Args:
        decoder: A decoder of any family, or a `CausalLM`. Its weights are
            shared, not copied: training the one changes the other.
        classes: How many labels there are; two for yes and no.
        pooling: What is read of a text: "last", its last token; "mean" of
            its tokens; "attention", a mean by learned weights.
        dropout: Share of the pooled vector that is dropped in training.
            Default: 0.
        seed: Start of the head's random values and of dropout. Default:
            another one each time.

    Raises:
        InputError: It is no decoder, or a value is out of range.

    Example:

    >>> import numpy as np
    >>> from keras_llm import build_decoder
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> model = sequence_model(decoder, classes=3)
    >>> model(np.array([[1, 2], [3, 4]])).shape
    TensorShape([2, 1, 3])
    >>> model.get_layer("block_0") is decoder.get_layer("block_0")
    True
    """
    return _build(decoder, classes, pooling, dropout, seed)


def token_model(
    decoder: Any, classes: int, dropout: float = 0.0, seed: int | None = None
) -> ClassifierModel:
    """Builds a model from tokens to logits of their labels.

    Inputs: those of the decoder. Output: float32 logits `(rows, time,
    classes)`. A token sees those before it, not those after.

    Args:
        decoder: As in `sequence_model`.
        classes: How many labels there are.
        dropout: Share of the hidden states that is dropped in training.
        seed: As in `sequence_model`.

    Raises:
        InputError: As for `sequence_model`.

    Example:

    >>> import numpy as np
    >>> from keras_llm import build_decoder
    >>> decoder = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> token_model(decoder, classes=3)(np.array([[1, 2]])).shape
    TensorShape([1, 2, 3])
    """
    return _build(decoder, classes, None, dropout, seed)


def blank_model(
    config: DecoderConfig,
    dtype: Any,
    state: AdapterState,
    classes: int,
    pooling: str | None,
    dropout: float,
) -> ClassifierModel:
    """Builds a model with its decoder, all weights zero, to be read.

    Args:
        config: The decoder's.
        dtype: As in `build_decoder`.
        state: Its adapters.
        classes, pooling, dropout: As in `sequence_model`; no pooling for
            `token_model`.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> blank_model(config, "float32", AdapterState(), 2, "mean", 0.0).pooling
    'mean'
    """
    decoder = blank_decoder(config, dtype)
    restore(decoder, state)
    return _build(decoder, classes, pooling, dropout, None)


@contextlib.contextmanager
def unused_at_rest(model: ClassifierModel) -> Iterator[None]:
    """Freezes the head of an untied decoder inside of the block.

    A classifier never runs it, so it has no gradient, but weight decay would
    shrink it.

    Example:

    >>> from keras_llm import build_decoder
    >>> model = sequence_model(build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2,
    ...     tie_embeddings=False)), classes=2)
    >>> with unused_at_rest(model):
    ...     UNUSED in {one.path for one in model.trainable_variables}
    False
    """
    unused = [
        variable
        for variable in model.trainable_variables
        if variable.path == UNUSED
    ]
    for variable in unused:
        variable.trainable = False
    try:
        yield
    finally:
        for variable in unused:
            variable.trainable = True


def _build(
    decoder: Any,
    classes: int,
    pooling: str | None,
    dropout: float,
    seed: int | None,
) -> ClassifierModel:
    decoder = getattr(decoder, "model", decoder)
    _check(decoder, classes, dropout)
    inputs = dict(decoder.input)
    x = decoder.get_layer("final_norm").output
    if pooling is not None:
        inputs["texts"] = keras.Input(
            (None,), dtype="int32", name="texts", optional=True
        )
        x = Pooling(pooling, dtype="float32", name="pooling")(
            x, inputs["segments"], inputs["texts"]
        )
    if dropout:
        x = Dropout(dropout, seed, dtype="float32", name="head_dropout")(x)
    x = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        dtype="float32",  # a small product, and its ties decide
        name="classifier",
    )(x)
    model = ClassifierModel(inputs, x, name="classifier_model")
    model.config, model.classes = decoder.config, classes
    model.pooling, model.dropout = pooling, dropout
    model.dtype_policy = decoder.dtype_policy
    return model


def _check(decoder: Any, classes: int, dropout: float) -> None:
    if not isinstance(decoder, Decoder):
        raise InputError(
            "Expected a decoder from build_decoder, or a CausalLM. Received: "
            f"{type(decoder).__name__}."
        )
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise InputError(
            "Expected classes as a number of labels, at least 1. Received: "
            f"{classes!r}."
        )
    if not 0 <= dropout < 1:
        raise InputError(
            f"Expected dropout from 0 to below 1. Received: {dropout!r}."
        )
