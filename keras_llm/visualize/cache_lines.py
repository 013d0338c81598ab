"""KV cache: what kinds of attention keep of each token they have read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.config import GLOBAL, LOCAL, DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import BITS, kv_cache_bytes
from keras_llm.figures import new_figure
from keras_llm.visualize.palette import byte_unit, line_style

LATENT = 512 + 64  # DeepSeek-V2's latent, and its key of rotary channels
PATTERN = "LLLLLG"  # Gemma 3's


def cache_sizes(
    config: DecoderConfig,
    contexts: Sequence[int],
    window: int | None = None,
    latent: int | None = LATENT,
    dtype: str = "bfloat16",
) -> dict[str, np.ndarray]:
    """Returns what the cache of one text takes with several attentions.

    Args:
        config: The decoder. Its depth, heads and their width stay the same.
        contexts: Tokens that are held.
        window: Positions that a local layer sees, in the config's own pattern
            or else in five of six layers. Default: the config's; without
            one, no such line. What is counted is a cache that keeps no more
            than the window; this library's own has a slot for each token.
        latent: Values that a layer keeps of a token for all heads together
            in latent attention (MLA), which this library does not build.
            Default: DeepSeek-V2's 576. None: no such line.
        dtype: What is kept: "float32", "bfloat16", "float16", "int8", "int4".

    Returns:
        Kind of attention -> bytes `(contexts,)`, float64: one key and value
        for each head (MHA), for each group of heads (GQA, if the config has
        groups), for all heads together (MQA), with windows, and MLA.

    Raises:
        InputError: A context is below 1, or no such dtype.

    Source: Shazeer 2019, https://arxiv.org/abs/1911.02150 (MQA); Ainslie et
    al. 2023, https://arxiv.org/abs/2305.13245 (GQA); DeepSeek-AI 2024,
    https://arxiv.org/abs/2405.04434, section 2.1.3 (MLA).

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=64,
    ...     num_layers=2, hidden_dim=64, num_heads=4, num_kv_heads=2)
    >>> sizes = cache_sizes(config, [32], latent=None)
    >>> {name: int(size[0]) for name, size in sizes.items()}
    {'MHA, 4 heads': 16384, 'GQA, 2 of 4': 8192, 'MQA, 1 of 4': 4096}
    """
    if not len(contexts) or min(contexts) < 1:
        raise InputError(
            "Expected contexts of at least one token each. Received: "
            f"{list(contexts)!r:.60}."
        )
    heads, groups = config.num_heads, config.num_kv_heads
    whole = config.replace(pattern=GLOBAL)
    kinds = {f"MHA, {heads} heads": whole.replace(num_kv_heads=heads)}
    if 1 < groups < heads:
        kinds[f"GQA, {groups} of {heads}"] = whole
    if heads > 1:
        kinds[f"MQA, 1 of {heads}"] = whole.replace(num_kv_heads=1)
    if window := window or config.window:
        local = LOCAL in config.pattern
        pattern = config.pattern if local else PATTERN
        few = config.replace(pattern=pattern, window=window)
        share = f"{few.layer_kinds.count(LOCAL)} of {few.num_layers} layers"
        name = f"{groups} of {heads}, {share} see {window:,}"
        kinds[name] = few
    found = {
        name: np.array(
            [kv_cache_bytes(one, n, dtype, rolling=True) for n in contexts],
            "float64",
        )
        for name, one in kinds.items()
    }
    if latent:
        values = config.num_layers * latent * np.asarray(contexts, "float64")
        found[f"MLA, latent of {latent}"] = values * BITS[dtype] / 8
    return found


def cache_figure(
    config: DecoderConfig,
    contexts: Sequence[int] | None = None,
    window: int | None = None,
    latent: int | None = LATENT,
    dtype: str = "bfloat16",
) -> Any:
    """Draws how the cache of one text grows with several attentions.

    Args:
        config, window, latent, dtype: As for `cache_sizes`.
        contexts: Tokens. Default: 256 to the config's context length, or to
            twice that where it is shorter, at least.

    Returns:
        A `matplotlib.figure.Figure`; both axes are logarithmic, and what the
        last context takes stands in the legend.

    Raises:
        InputError: As for `cache_sizes`; matplotlib is missing.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=64,
    ...     num_layers=2, hidden_dim=64, num_heads=4, num_kv_heads=2)
    >>> len(cache_figure(config).axes[0].lines)
    4
    """
    if contexts is None:
        contexts = _powers(config.context_length)
    sizes = cache_sizes(config, contexts, window, latent, dtype)
    unit, size = byte_unit(max(found[-1] for found in sizes.values()))
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    for index, (name, found) in enumerate(sizes.items()):
        label = f"{name}: {found[-1] / size:.3g} {unit}"
        axes.plot(contexts, found / size, label=label, **line_style(index))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlabel="tokens", ylabel=f"cache of one text in {unit}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title=f"at {contexts[-1]:,} tokens")
    return figure


def _powers(longest: int) -> list[int]:
    """Powers of two up to the context, eight of them at most."""
    last = longest.bit_length() - 1
    powers = [2**n for n in range(max(last - 8, 0), last + 1)]
    return powers if powers[-1] == longest else [*powers, longest]
