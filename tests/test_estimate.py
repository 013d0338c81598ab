"""Estimates beside decoders that were really built, and beside Keras."""

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from contract import CONFIGS, CONTEXT, VOCABULARY

from keras_llm.config import DecoderConfig, Experts
from keras_llm.errors import InputError
from keras_llm.estimate import (
    BITS,
    count_parameters,
    flops_per_token,
    kv_cache_bytes,
    weight_bytes,
)
from keras_llm.layers import new_cache
from keras_llm.model import build_decoder
from keras_llm.shapes import parameter_shapes
from keras_llm.sketch import sketch
from keras_llm.train import flops_per_token as training_flops

SIZE = dict(
    vocabulary_size=VOCABULARY,
    context_length=CONTEXT,
    num_layers=2,
    hidden_dim=16,
    num_heads=4,
)


def real_shapes(model) -> dict[str, tuple]:
    return {v.path: tuple(v.shape) for v in model.trainable_variables}


@pytest.mark.parametrize("name", CONFIGS)
def test_names_and_shapes_are_those_of_the_built_decoder(name):
    config = CONFIGS[name]
    assert parameter_shapes(config) == real_shapes(sketch(config))


def test_a_sketch_has_the_variables_of_the_model_and_no_values():
    config = CONFIGS["gpt2"]
    model = build_decoder(config)
    assert real_shapes(sketch(config)) == real_shapes(model)
    assert count_parameters(config).total == model.count_params()
    assert sketch(config, "bfloat16").weights[0].dtype == "bfloat16"


def test_a_sketch_leaves_nothing_that_the_next_model_fills():
    sketch(DecoderConfig(**{**SIZE, "hidden_dim": 1 << 16}))
    with keras.StatelessScope():
        pass  # gives values to what still waits for them
    assert build_decoder(DecoderConfig(**SIZE)).count_params() < 1e5


def test_an_error_in_a_sketch_is_the_builders_own():
    with pytest.raises((InputError, ValueError), match="dtype"):
        sketch(DecoderConfig(**SIZE), "no_such_dtype")


def test_the_parts_add_up():
    config = DecoderConfig(**SIZE, rope=None, tie_embeddings=False)
    parts = count_parameters(config)
    assert parts.positions == CONTEXT * 16
    assert parts.head == parts.embedding == VOCABULARY * 16
    assert parts.final_norm == 16 and parts.idle == 0
    assert parts.total == sum(
        math.prod(shape) for shape in parameter_shapes(config).values()
    )
    assert parts.multiplied == parts.total - parts.positions - parts.embedding


def test_a_token_uses_some_of_the_experts():
    experts = Experts(count=8, top_k=2, mlp_dim=12, shared=1)
    parts = count_parameters(DecoderConfig(**SIZE, experts=experts))
    assert parts.idle == 2 * (8 - 2) * 3 * 16 * 12
    assert parts.active == parts.total - parts.idle
    shapes = parameter_shapes(DecoderConfig(**SIZE, experts=experts))
    assert shapes["block_1/experts/router/kernel"] == (16, 8)
    assert shapes["block_1/experts/shared/down/kernel"] == (12, 16)
    assert not [path for path in shapes if "/mlp/" in path]


@pytest.mark.parametrize("name", CONFIGS)
def test_flops_are_a_third_of_a_training_step(name):
    config = CONFIGS[name]
    model = sketch(config)
    assert 3 * flops_per_token(config, 8) == training_flops(model, 8)


@pytest.mark.parametrize("name", ["llama", "gemma2", "multi_query"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_cache_takes_what_is_said(name, dtype):
    config = CONFIGS[name]
    caches = new_cache(config, 1, 10, dtype)
    size = sum(math.prod(cache.shape) for cache in caches)
    assert kv_cache_bytes(config, 10, dtype) == size * BITS[dtype] // 8


def test_a_rolling_cache_would_keep_the_window_of_local_layers():
    config = DecoderConfig(**SIZE, pattern="LG", window=4)
    per_position = 2 * 16 * 2
    assert kv_cache_bytes(config, 10) == 20 * per_position
    assert kv_cache_bytes(config, 10, rolling=True) == 14 * per_position
    assert kv_cache_bytes(config, 3, rolling=True) == 6 * per_position


def stored(layer) -> int:
    """Bytes of a quantized layer without the input's observers."""
    width = {"int8": 1, "uint8": 1, "float32": 4}
    return sum(
        int(np.prod(v.shape)) * width[v.dtype]
        for v in layer.variables
        if v.name != "g_idx"  # which group an input is in: ours is in order
    )


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_sizes_are_those_of_keras(mode):
    layer = keras.layers.Dense(256, use_bias=False)
    layer.build((None, 512))
    layer.quantize(mode)
    config = DecoderConfig(**SIZE, mlp_dim=512).replace(
        hidden_dim=256, num_layers=1, mlp="gelu"
    )
    without = config.replace(mlp_dim=1)
    down_and_up = weight_bytes(config, mode) - weight_bytes(without, mode)
    assert down_and_up == pytest.approx(2 * stored(layer), rel=0.02)


def test_weights_shrink_with_their_precision():
    config = DecoderConfig(**{**SIZE, "hidden_dim": 512})
    total = count_parameters(config).total
    sizes = {p: weight_bytes(config, p) / total for p in BITS}
    assert sizes["float32"] == 4 and sizes["bfloat16"] == 2
    assert 1 < sizes["int8"] < 1.05
    assert 0.5 < sizes["int4"] < 0.6


def test_words_that_are_no_precision_are_refused():
    config = DecoderConfig(**SIZE)
    for call in (
        lambda: weight_bytes(config, "int2"),
        lambda: kv_cache_bytes(config, 1, "int2"),
        lambda: kv_cache_bytes(config, -1),
    ):
        with pytest.raises(InputError, match="Expected"):
            call()


def test_seventy_billion_parameters_are_sketched_without_memory():
    """In a process of its own: what it holds before and after is its own."""
    script = """
import json, math, resource
import keras_llm.sketch
from keras_llm.config import DecoderConfig
def rss(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
config = DecoderConfig(
    vocabulary_size=128256, context_length=8192, num_layers=80,
    hidden_dim=8192, num_heads=64, num_kv_heads=8, mlp_dim=28672,
    tie_embeddings=False)
keras_llm.sketch.sketch(config.replace(num_layers=1))
before = rss()
model = keras_llm.sketch.sketch(config)
print(json.dumps([
    sum(math.prod(v.shape) for v in model.weights),
    rss() - before]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    count, grown = json.loads(answer.stdout.splitlines()[-1])
    assert count == 70_553_706_496  # 141 GB in bfloat16
    assert grown < 100e6


def test_nothing_heavy_is_imported():
    script = (
        "import keras_llm.estimate, sys; print(sorted("
        "{'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "[]"
