"""What every layer and every decoder must satisfy, whatever its config."""

import keras
import numpy as np
from keras import ops

from keras_llm.config import DecoderConfig, Experts, Rope
from keras_llm.layers import new_cache
from keras_llm.model import build_decoder
from keras_llm.step import decoder_step

VOCABULARY, CONTEXT = 61, 24

_SIZE = dict(
    vocabulary_size=VOCABULARY,
    context_length=CONTEXT,
    num_layers=3,
    hidden_dim=16,
    num_heads=4,
)


def _config(**differences) -> DecoderConfig:
    return DecoderConfig(**{**_SIZE, **differences})


CONFIGS = {
    "gpt2": _config(norm="layer", mlp="gelu", bias="all", rope=None),
    "llama": _config(num_kv_heads=2, tie_embeddings=False),
    "multi_query": _config(num_kv_heads=1),
    "llama3": _config(
        num_kv_heads=2,
        rope=Rope(
            theta=500.0, scaling="llama3", factor=8.0, original_context=16
        ),
    ),
    "yarn": _config(
        rope=Rope(theta=100.0, scaling="yarn", factor=4.0, original_context=8)
    ),
    "linear": _config(rope=Rope(scaling="linear", factor=2.0)),
    "neox": _config(
        norm="layer",
        mlp="gelu_exact",
        bias="all",
        parallel_block=True,
        rope=Rope(fraction=0.5),
        tie_embeddings=False,
    ),
    "mistral": _config(num_kv_heads=2, pattern="L", window=4),
    "qwen2": _config(num_kv_heads=2, bias="qkv"),
    "qwen3": _config(num_kv_heads=2, head_dim=8, qk_norm="head"),
    "longrope": _config(
        rope=Rope(
            scaling="longrope",
            short_factors=(1.0, 1.5),
            long_factors=(2.0, 5.0),
            factor=3.0,
            original_context=8,
        )
    ),
    "gemma": _config(
        norm="rms_offset", mlp="geglu", num_kv_heads=1, embed_scale=4.0
    ),
    "gemma2": _config(
        norm="rms_offset",
        mlp="geglu",
        pattern="LG",
        window=5,
        post_norm="sandwich",
        attention_softcap=5.0,
        final_softcap=3.0,
        embed_scale=4.0,
        attention_scale=0.3,
    ),
    "gemma3": _config(
        norm="rms_offset",
        mlp="geglu",
        pattern="LLG",
        window=5,
        qk_norm="head",
        post_norm="sandwich",
        rope=Rope(theta=1e6, local_theta=1e4, scaling="linear", factor=8.0),
    ),
    "olmo2": _config(post_norm="only", qk_norm="projection"),
    "smollm3": _config(num_kv_heads=2, pattern="GGN"),
    "mixtral": _config(num_kv_heads=2, experts=Experts(count=4, top_k=2)),
    "qwen3_moe": _config(
        num_kv_heads=2,
        head_dim=8,
        qk_norm="head",
        experts=Experts(count=4, top_k=2, mlp_dim=24),
    ),
    "shared_expert": _config(
        mlp="geglu",
        experts=Experts(
            count=3, top_k=1, mlp_dim=16, shared=1, normalize=False
        ),
    ),
    "gpt_oss": _config(
        mlp="clamped_swiglu",
        experts=Experts(count=4, top_k=2, mlp_dim=16, router_bias=True),
        bias="all",
        pattern="LG",
        window=4,
        attention_sinks=True,
        rope=Rope(
            scaling="yarn", factor=4.0, original_context=8, truncate=False
        ),
    ),
}


def scramble(model, seed: int = 0) -> None:
    """Gives every weight a value that matters: no zeros, no ones."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 0.3 if len(variable.shape) > 1 else 0.2
        noise = generator.normal(0, scale, variable.shape)
        centre = 1.0 if variable.name in ("scale", "gamma") else 0.0
        variable.assign(centre + noise)


def decoder(config: DecoderConfig, dtype="float32", **kwargs):
    """A decoder whose every weight matters."""
    model = build_decoder(config, dtype, **kwargs)
    scramble(model)
    return model


def tokens_of(rows: int, time: int, seed: int = 0) -> np.ndarray:
    """Random token ids."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, VOCABULARY, (rows, time), dtype="int32")


def close(a, b, tolerance: float = 2e-5) -> None:
    """Both are equal within a share of their size."""
    a, b = np.asarray(a, "float32"), np.asarray(b, "float32")
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def check_cached_equals_uncached(model) -> None:
    """Prefill in two chunks, then token by token, equals one pass."""
    tokens = tokens_of(2, 9)
    expected = np.asarray(model(tokens))
    step = decoder_step(model)
    caches = new_cache(model.config, 2, CONTEXT, model.compute_dtype)
    pieces = []
    for start, end in ((0, 4), (4, 6), (6, 7), (7, 8), (8, 9)):
        positions = np.tile(np.arange(start, end, dtype="int32"), (2, 1))
        logits, caches = step(tokens[:, start:end], positions, caches)
        pieces.append(np.asarray(logits))
    close(np.concatenate(pieces, axis=1), expected, 1e-4)


def check_packed_equals_unpacked(model) -> None:
    """Two documents in a row give the logits each has alone."""
    first, second = tokens_of(1, 7, seed=1), tokens_of(1, 5, seed=2)
    packed = {
        "tokens": np.concatenate([first, second, [[0, 0]]], axis=1),
        "positions": np.array([[*range(7), *range(5), 0, 0]], "int32"),
        "segments": np.array([[1] * 7 + [2] * 5 + [0] * 2], "int32"),
    }
    together = np.asarray(model(packed))
    close(together[:, :7], model(first))
    close(together[:, 7:12], model(second))


def check_unequal_prompts(model) -> None:
    """A right-padded batch of prompts continues as each prompt alone."""
    step = decoder_step(model)
    lengths, tokens = np.array([3, 6, 5]), tokens_of(3, 6)
    batch = _prefill_then_decode(step, tokens, lengths)
    for row, length in enumerate(lengths):
        alone = _prefill_then_decode(
            step, tokens[row : row + 1, :length], lengths[row : row + 1]
        )
        close(batch[row], alone[0])


def _prefill_then_decode(step, tokens, lengths) -> np.ndarray:
    rows, time = tokens.shape
    caches = new_cache(step.config, rows, CONTEXT, step.compute_dtype)
    positions = np.tile(np.arange(time, dtype="int32"), (rows, 1))
    logits, caches = step(tokens, positions, caches)
    last = np.asarray(logits)[np.arange(rows), lengths - 1]
    picked = last.argmax(-1).astype("int32")[:, None]
    following, _ = step(picked, lengths[:, None].astype("int32"), caches)
    return np.concatenate([last, np.asarray(following)[:, 0]], axis=-1)


def check_save_and_load(model, path) -> None:
    """A `.keras` file gives the same logits and the same config."""
    tokens = tokens_of(2, 6)
    model.save(path)
    loaded = keras.models.load_model(path)
    close(loaded(tokens), model(tokens), 1e-7)
    if hasattr(model, "config"):
        close(loaded.config == model.config, True)


def check_xla(model) -> None:
    """Compiled whole and run op by op, the logits are the same."""
    import tensorflow as tf

    tokens = tokens_of(2, 6)
    compiled = tf.function(lambda x: model(x), jit_compile=True)
    close(compiled(tf.constant(tokens)), model(tokens))


def check_mixed_precision(config: DecoderConfig) -> None:
    """bfloat16 compute keeps float32 weights and logits, and stays near."""
    exact, mixed = decoder(config), decoder(config, "mixed_bfloat16")
    tokens = tokens_of(2, 6)
    logits = mixed(tokens)
    if keras.backend.standardize_dtype(logits.dtype) != "float32":
        raise AssertionError(f"logits are {logits.dtype}")
    if {v.dtype for v in mixed.trainable_variables} != {"float32"}:
        raise AssertionError("a weight is not float32")
    error = np.abs(np.asarray(logits) - np.asarray(exact(tokens)))
    if not 0 < error.mean() < 0.05 * np.std(exact(tokens)) + 0.02:
        raise AssertionError(f"mean error {error.mean()}")


def check_remat(config: DecoderConfig) -> None:
    """Computing activations again changes no gradient."""
    close(_gradients(config, remat=True), _gradients(config, remat=False))


def _gradients(config: DecoderConfig, remat: bool) -> np.ndarray:
    import tensorflow as tf

    model = decoder(config, remat=remat)
    with tf.GradientTape() as tape:
        loss = ops.mean(ops.square(model(tokens_of(2, 6), training=True)))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_weights])
    flat = [np.ravel(tf.convert_to_tensor(g)) for g in gradients]
    return np.concatenate(flat)


def check_layer(layer, *inputs, shape: tuple) -> None:
    """Shapes, config round trip, weights, and a bfloat16 policy."""
    outputs = layer(*inputs)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    if tuple(first.shape) != shape:
        raise AssertionError(f"Expected {shape}. Received {first.shape}.")
    scramble(layer)
    again = type(layer).from_config(layer.get_config())
    again(*inputs)
    again.set_weights(layer.get_weights())
    for a, b in zip(
        keras.tree.flatten(again(*inputs)),
        keras.tree.flatten(layer(*inputs)),
        strict=True,
    ):
        close(a, b, 1e-7)
    mixed = {**layer.get_config(), "dtype": "mixed_bfloat16"}
    half = type(layer).from_config(mixed)
    half(*inputs)
    if layer.weights:
        half.set_weights(layer.get_weights())
        output = half(*inputs)
        if keras.backend.standardize_dtype(output.dtype) != "bfloat16":
            raise AssertionError(f"computed in {output.dtype}")
        close(output, layer(*inputs), 0.15)
