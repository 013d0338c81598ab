"""The decoder: one builder for every family.

What differs between families is in `DecoderConfig`; nothing here asks for a
model's name. Unusual choices:

- The model is functional and reads from top to bottom in `build_decoder`.
- Masks and rotary angles are computed once a call and shared by all blocks.
- `step.decoder_step` uses the same layers on tokens laid out in one axis, with
  the cache as plain tensors: generation, SavedModel and LiteRT all run on it.
- Logits are float32, but a mixed-precision model computes them in bfloat16,
  where ties change greedy text: generate with `float32_copy`.
- Layer names are API: weight tables and sharding rules match them.
"""

import math
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_llm.config import LOCAL, DecoderConfig
from keras_llm.files import check_room
from keras_llm.layers import (
    Block,
    CausalMask,
    Dropout,
    Positions,
    normalization,
    rotary_layers,
)

HDF5_EXTRA = 8192  # bytes beside the values; up to 5100 were measured


@keras.saving.register_keras_serializable("keras_llm")
class Decoder(keras.Model):
    """The functional model that `build_decoder` returns.

    A functional `keras.Model` that also carries its `config`, accepts a bare
    `tokens` array, and saves as its config (so that `.keras` files stay
    readable when a layer's internals change).

    Attributes:
        config: The `DecoderConfig` it was built from.

    Example:

    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> model(ops.zeros((2, 3), "int32")).shape
    TensorShape([2, 3, 9])
    """

    config: DecoderConfig
    remat: bool

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs on `{"tokens", "positions", "segments"}` or bare tokens."""
        return super().__call__(decoder_inputs(inputs), *args, **kwargs)

    def compute_output_spec(self, inputs: Any, *_: Any, **__: Any) -> Any:
        """Returns the logits' spec, so that it can be part of other models."""
        tokens = decoder_inputs(inputs)["tokens"]
        shape = (*tokens.shape, self.config.vocabulary_size)
        return keras.KerasTensor(shape, dtype="float32")

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Writes the weights as Keras does, if there is room for them.

        Raises:
            OSError: The disk is full. (HDF5 would end the process.)
        """
        path = Path(filepath)
        if path.parent.is_dir() and not path.exists():  # no remote address
            sizes = (4 * math.prod(w.shape) for w in self.weights)
            check_room(path, sum(size + HDF5_EXTRA for size in sizes))
        super().save_weights(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` builds the same decoder from."""
        return {
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "remat": self.remat,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> Any:
        """Builds the decoder that `get_config` described."""
        del custom_objects
        record = DecoderConfig.from_dict(config["config"])
        dtype = keras.dtype_policies.deserialize(config["dtype"])
        return build_decoder(record, dtype, config["remat"], config["name"])


def decoder_inputs(inputs: Any) -> dict[str, Any]:
    """Returns the three named inputs; what is not given is None.

    Example:

    >>> decoder_inputs([[1]])
    {'positions': None, 'segments': None, 'tokens': [[1]]}
    """
    given = inputs if isinstance(inputs, dict) else {"tokens": inputs}
    return {"positions": None, "segments": None} | given


def build_decoder(
    config: DecoderConfig,
    dtype: Any = None,
    remat: bool = False,
    name: str = "decoder",
) -> Decoder:
    """Builds the decoder as a functional `keras.Model`.

    Inputs: `tokens` int32 `(batch, time)`; for packed rows also `positions`
    (restarting in every document) and `segments` (from 1; 0 is padding), both
    int32 `(batch, time)`. Output: float32 logits
    `(batch, time, vocabulary_size)`.

    Args:
        config: What to build.
        dtype: A dtype or policy name ("float32", "mixed_bfloat16", ...); None
            means Keras's global policy.
        remat: Whether blocks compute activations again in the backward pass.
        name: The model's name.

    Raises:
        InputError: The config asks for something this version lacks.

    Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023,
    https://arxiv.org/abs/2302.13971 (Llama).

    Example:

    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> model.count_params()
    1888
    """
    dtype = keras.dtype_policies.get(dtype)

    # === Inputs ===
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    positions_in, segments = (
        keras.Input((None,), dtype="int32", name=key, optional=True)
        for key in ("positions", "segments")
    )
    positions = Positions(name="positions_or_count")(tokens, positions_in)

    # === Embeddings ===
    # Other values at each use: tokens, positions and an untied head.
    normal = keras.initializers.RandomNormal(
        stddev=0.02, seed=keras.random.SeedGenerator()
    )
    embedding = keras.layers.ReversibleEmbedding(
        config.vocabulary_size,
        config.hidden_dim,
        tie_weights=config.tie_embeddings,
        embeddings_initializer=normal,
        reverse_dtype=dtype.compute_dtype,  # or mixed precision skips it
        logit_soft_cap=config.final_softcap,
        dtype=dtype,
        name="token_embedding",
    )
    x = embedding(tokens)
    if config.embed_scale is not None:
        x = x * config.embed_scale
    if config.rope is None:
        x = x + keras.layers.Embedding(
            config.context_length,
            config.hidden_dim,
            embeddings_initializer=normal,
            dtype=dtype,
            name="position_embedding",
        )(positions)
    if config.dropout:
        x = Dropout(config.dropout, dtype=dtype)(x)

    # === Blocks ===
    kinds = sorted(set(config.layer_kinds))
    masks = {
        kind: CausalMask(
            config.window if kind == LOCAL else None,
            dtype=dtype,
            name=f"mask_{kind}",
        )(positions, segments)
        for kind in kinds
    }
    rotary = {
        kind: layer(positions) if layer else None
        for kind, layer in rotary_layers(config).items()
    }
    for index, kind in enumerate(config.layer_kinds):
        block = Block(config, kind, remat, dtype=dtype, name=f"block_{index}")
        x = block(x, masks[kind], rotary[kind])

    # === Logits ===
    x = normalization(config, "final_norm", dtype)(x)
    logits = ops.cast(embedding(x, reverse=True), "float32")

    inputs = {
        "tokens": tokens,
        "positions": positions_in,
        "segments": segments,
    }
    model = Decoder(inputs, logits, name=name)
    model.config, model.remat = config, remat
    model.dtype_policy = dtype  # a functional model takes none
    return model
