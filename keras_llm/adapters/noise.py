"""neftune: noise on a model's token embeddings while it is tuned."""

from typing import Any

import keras

from keras_llm.adapters.layers import refresh
from keras_llm.errors import InputError
from keras_llm.layers import EmbeddingNoise
from keras_llm.model import Decoder

TABLE = "token_embedding"


class NoisyEmbedding(keras.layers.ReversibleEmbedding):
    """The token table of a decoder with noise on what it looks up.

    Made by `neftune`, which gives a table this class and keeps the object.

    Example:

    >>> issubclass(NoisyEmbedding, keras.layers.ReversibleEmbedding)
    True
    """

    noise: EmbeddingNoise

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        """Looks tokens up, or computes logits, as before."""
        result = super().call(inputs, reverse)
        return result if reverse else self.noise(result)


def neftune(model: Decoder, alpha: float | None, seed: int = 0) -> None:
    """Puts noise on a decoder's token embeddings in training, or takes it off.

    Generation and evaluation never see it. Take it off before you save the
    weights with Keras: the seed of the noise is one of them.

    Args:
        model: A decoder from `build_decoder`; changed in place.
        alpha: Size of the noise, 5 to 15 in the paper; None for none.
        seed: Start of the random numbers.

    Raises:
        InputError: The model is no decoder of ours, or alpha is not above
            zero.

    Source: Jain et al. 2023, https://arxiv.org/abs/2310.05914.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> tokens = keras.ops.ones((1, 4), "int32")
    >>> quiet = model(tokens, training=True)
    >>> neftune(model, alpha=5.0)
    >>> bool(keras.ops.any(model(tokens, training=True) != quiet))
    True
    >>> neftune(model, None)
    >>> bool(keras.ops.all(model(tokens, training=True) == quiet))
    True
    """
    if not isinstance(model, Decoder):
        raise InputError(
            "Expected a decoder from build_decoder, whose token table is "
            f"known. Received: {type(model).__name__}."
        )
    table: Any = model.get_layer(TABLE)
    noise = None
    if alpha is not None:
        noise = EmbeddingNoise(alpha, seed, dtype=table.dtype_policy)
    table._tracker.unlock()
    if isinstance(table, NoisyEmbedding):
        table._layers.remove(table.noise)
        del table.noise
        object.__setattr__(table, "__class__", keras.layers.ReversibleEmbedding)
    if noise is not None:
        object.__setattr__(table, "__class__", NoisyEmbedding)
        table.noise = noise
    table._tracker.lock()
    refresh(model)
