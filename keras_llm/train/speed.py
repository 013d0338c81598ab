"""What a step costs, what the machine can do, and the precision for it."""

import functools
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.errors import InputError
from keras_llm.estimate import count_parameters
from keras_llm.layers import has_device
from keras_llm.train.settings import PRECISIONS

_log = logging.getLogger(__name__)

CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_CAPABILITY = (8, 0)  # of NVIDIA GPUs: Ampere


def choose_precision(name: str = "auto") -> str:
    """Returns the dtype policy to build a decoder with.

    "auto" is mixed_bfloat16 (weights in float32, products in bfloat16) where
    the hardware multiplies bfloat16: on TPUs, on GPUs from compute capability
    8.0 on (A100, RTX 30; not T4 or V100), and on CPUs with avx512_bf16 or AMX
    under TensorFlow, where a step is 1.4 to 1.6 times as fast. JAX on CPUs is
    slower in bfloat16, so it stays float32.

    Args:
        name: "auto", "float32", "mixed_bfloat16" or "mixed_float16". The
            last is for GPUs without bfloat16; `fit` scales the loss then. On
            a CPU a warning is logged: it is slower there than float32.

    Raises:
        InputError: Another name.

    Example:

    >>> choose_precision("float32")
    'float32'
    """
    if name not in PRECISIONS:
        raise InputError(
            f"Expected precision to be one of {', '.join(PRECISIONS)}. "
            f"Received: {name!r}."
        )
    if name == "mixed_float16" and not has_device("gpu"):
        _log.warning(
            "float16 is slow without a GPU, about 0.6 times as fast as "
            "float32. Use float32 or mixed_bfloat16 here."
        )
    if name != "auto":
        return name
    return "mixed_bfloat16" if _multiplies_bfloat16() else "float32"


def _multiplies_bfloat16() -> bool:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if has_device("tpu"):
        return True
    if has_device("gpu"):
        return not on_tensorflow or _gpu_multiplies_bfloat16()
    if not on_tensorflow or not CPU_FLAGS.exists():
        return False
    flags = set(CPU_FLAGS.read_text().split())
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def _gpu_multiplies_bfloat16() -> bool:
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY


def precision_of(model: keras.Model) -> str:
    """Returns the precision a model was built with.

    Raises:
        InputError: It has weights that are not float32, which small updates
            do not change.

    Example:

    >>> precision_of(keras.Sequential([keras.layers.Dense(2)]))
    'float32'
    """
    compute = {layer.compute_dtype for layer in model._flatten_layers()}
    weights = {variable.dtype for variable in model.trainable_variables}
    if weights - {"float32"}:
        raise InputError(
            "Expected a model with float32 weights. Received: weights in "
            f"{', '.join(sorted(weights))}. Build it with "
            'dtype=choose_precision("auto").'
        )
    if "float16" in compute:
        return "mixed_float16"
    return "mixed_bfloat16" if "bfloat16" in compute else "float32"


def flops_per_token(model: keras.Model, time: int) -> int:
    """Returns the FLOPs to train on one token: forward and backward.

    `6 * N + 12 * layers * time * heads * head_dim`: six for each parameter
    that multiplies (position and untied input tables are only looked up, of
    the experts a token sees a few), and attention over the whole row, as PaLM
    counts it. A model without
    `.config` counts 6 for every parameter and no attention.

    Args:
        model: The decoder.
        time: Tokens in a row.

    Source: Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311,
    appendix B.

    Example:

    >>> layer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> flops_per_token(layer, time=8)  # 6 * (4 * 2 + 2)
    60
    """
    sizes = {v.path: int(np.prod(v.shape)) for v in model.trainable_variables}
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "num_layers"):
        return 6 * sum(sizes.values())
    looked_up = {"position_embedding/embeddings"}
    if not config.tie_embeddings:
        looked_up.add("token_embedding/embeddings")
    multiplied = sum(n for path, n in sizes.items() if path not in looked_up)
    multiplied -= count_parameters(config).idle
    width = config.num_heads * config.head_dim
    return 6 * multiplied + 12 * config.num_layers * time * width


@functools.cache
def measured_peak(dtype: str = "float32") -> float:
    """Returns the FLOP/s of a large matrix product on this machine.

    The best of five, once per process and dtype; about a second. Sizes grow
    until a product takes 20 ms.

    Args:
        dtype: "float32", "bfloat16" or "float16".

    Example:

    >>> measured_peak("float32") > 1e6
    True
    """
    size, seconds = 512, 0.0
    while seconds < 0.02 and size < 16384:
        size *= 2
        a = ops.ones((size, size), dtype=dtype)
        seconds = min(_timed(lambda a=a: ops.matmul(a, a)) for _ in range(5))
    return 2 * size**3 / seconds


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    float(ops.cast(work()[0, 0], "float32"))  # waits for the device
    return time.perf_counter() - start


def peak_memory() -> int:
    """Returns the most bytes this process has had in memory.

    Example:

    >>> peak_memory() > 1_000_000
    True
    """
    import resource  # not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
