"""Memory: what a training step or a server holds on a device, part by part."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.estimate import BITS, kv_cache_bytes, weight_bytes
from keras_llm.estimate_memory import memory_per_device
from keras_llm.estimate_setup import Setup
from keras_llm.figures import new_figure
from keras_llm.records import Record
from keras_llm.visualize.palette import byte_unit, colour, named

CACHE = "KV cache"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving(Record):
    """How a decoder is served, as far as memory depends on it.

    Args:
        rows: Texts that are continued at a time. Default: 1.
        context: Tokens of each, prompt and answer. Default: the decoder's
            context length.
        precision: Of the weights: "float32", "bfloat16", "float16", "int8"
            or "int4". Default: "bfloat16".
        cache: Of keys and values, one of the same words. Default: "bfloat16".

    Raises:
        InputError: A word is none of these, or a number is not above zero.

    Example:

    >>> Serving(rows=8, precision="int4").cache
    'bfloat16'
    """

    rows: int = 1
    context: int | None = None
    precision: str = "bfloat16"
    cache: str = "bfloat16"

    def __post_init__(self) -> None:
        self._positive("rows", "context")
        self._one_of("precision", tuple(BITS))
        self._one_of("cache", tuple(BITS))


def memory_parts(
    config: DecoderConfig, setup: Setup | Serving, host: bool = False
) -> dict[str, int]:
    """Returns the bytes of a device by what they hold.

    Args:
        config: The decoder.
        setup: How it is trained, `keras_llm.estimate_setup.Setup`, or how it
            is served.
        host: Whether the device is the machine itself; a training step then
            needs memory for the program too. Default: False.

    Returns:
        Of a training step, the parts of `estimate_memory.Memory`, which says
        how exact each is. Of a server, "weights" and "KV cache" only.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> memory_parts(config, Serving(rows=2))
    {'weights': 3776, 'KV cache': 512}
    """
    if isinstance(setup, Setup):
        return memory_per_device(config, setup, host).to_dict()
    tokens = setup.context or config.context_length
    cache = kv_cache_bytes(config, tokens, setup.cache)
    weights = weight_bytes(config, setup.precision)
    return {"weights": weights, CACHE: setup.rows * cache}


def memory_figure(
    config: DecoderConfig,
    setup: Setup | Serving | Mapping[str, Setup | Serving],
    host: bool = False,
    limit: float | None = None,
) -> Any:
    """Draws the memory of a device, a bar for each setup.

    Args:
        config: The decoder.
        setup: As for `memory_parts`, or several by name.
        host: As for `memory_parts`.
        limit: Bytes of the device, drawn as a line. Default: none.

    Returns:
        A `matplotlib.figure.Figure`. The total stands at the end of a bar.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> axes = memory_figure(config, Setup(batch_size=2)).axes[0]
    >>> axes.get_xlabel()
    'memory of a device in kB'
    """
    bars = {
        name: memory_parts(config, one, host)
        for name, one in named(setup).items()
    }
    parts = dict.fromkeys(name for bar in bars.values() for name in bar)
    totals = [sum(bar.values()) for bar in bars.values()]
    unit, size = byte_unit(max(totals))
    figure = new_figure(8, 0.5 * len(bars) + 1.9)
    axes = figure.subplots()
    left = [0.0] * len(bars)
    for index, part in enumerate(parts):
        values = [bar.get(part, 0) / size for bar in bars.values()]
        if any(values):
            axes.barh(
                *(range(len(bars)), values, 0.7),
                left=left,
                color=colour(index),
                edgecolor="white",
                linewidth=0.5,
                label=part,
            )
            left = [sum(pair) for pair in zip(left, values, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(
            f"{total:.3g} {unit}",
            *((total, row), (4, 0)),
            textcoords="offset points",
            fontsize=8,
            va="center",
            zorder=4,  # over the limit
            bbox={"facecolor": "white", "lw": 0, "pad": 1},
        )
    if limit is not None:
        axes.axvline(limit / size, color="black", linestyle="--", label="limit")
    axes.set_yticks(range(len(bars)), list(bars), fontsize=9)
    axes.set_xlabel(f"memory of a device in {unit}")
    axes.set_xlim(0, 1.15 * max(*left, (limit or 0) / size))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return figure
