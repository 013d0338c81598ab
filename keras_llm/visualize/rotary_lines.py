"""Rotary angles: how fast pairs of channels turn, and what scaling changes."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_llm.config import GLOBAL, LOCAL, DecoderConfig, Rope
from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.layers.rope import rotary_frequencies
from keras_llm.visualize.palette import line_style, named

_SHOWN = 256  # positions of a map of cosines


def rotary_speeds(config: DecoderConfig) -> dict[str, np.ndarray]:
    """Returns how far each pair of channels turns from position to position.

    The angle at position `p` is `p` times that; a pair has turned once after
    `2 * pi / speed` positions.

    Args:
        config: A decoder with rotary positions.

    Returns:
        float32 `(pairs,)` in radians, by the layers or texts they hold for:
        "" for all; "local layers" where these have a base of their own; "up
        to 4096 tokens" and "longer" with longrope.

    Raises:
        InputError: The decoder has no rotary positions.

    Source: Su et al. 2021, https://arxiv.org/abs/2104.09864.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> {name: len(one) for name, one in rotary_speeds(config).items()}
    {'': 2}
    """
    rope = config.rope
    if rope is None:
        raise InputError(
            "Expected a config with rotary positions. Received: rope=None, "
            "which means a learned table of positions."
        )
    short = rotary_frequencies(config.head_dim, rope)
    if rope.scaling == "longrope":
        long = rotary_frequencies(config.head_dim, rope, long=True)
        found = {f"up to {rope.original_context} tokens": short, "longer": long}
    elif rope.local_theta is not None and GLOBAL in config.layer_kinds:
        found = {"global layers": short}
    else:
        found = {"": short}
    if rope.local_theta is not None and LOCAL in config.layer_kinds:
        local = Rope(theta=rope.local_theta, fraction=rope.fraction)
        found["local layers"] = rotary_frequencies(config.head_dim, local)
    return found


def rotary_figure(
    config: DecoderConfig | Mapping[str, DecoderConfig], positions: int = _SHOWN
) -> Any:
    """Draws the cosines of all angles, and after how many tokens pairs turn.

    Args:
        config: A decoder with rotary positions, or several by name, such as
            the same one with other kinds of scaling.
        positions: How many positions the maps of cosines have.

    Returns:
        A `matplotlib.figure.Figure`: a map for each config, and the lengths
        of a turn in one panel, with the longest context of each as a dotted
        line, and dashed the one before scaling (`Rope.original_context`). A
        pair over a line never turns once in such a text.

    Raises:
        InputError: As for `rotary_speeds`; matplotlib is missing.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> rotary_figure(config).axes[-1].get_ylabel()
    'tokens of a whole turn'
    """
    speeds = {
        ", ".join(filter(None, (name, kind))): (one, found)
        for name, one in named(config).items()
        for kind, found in rotary_speeds(one).items()
    }
    columns = min(len(speeds), 4)
    rows = -(-len(speeds) // columns)
    figure = new_figure(max(6.5, 2.4 * columns + 0.6), 2.5 * rows + 3.2)
    above, below = figure.subfigures(2, 1, height_ratios=[2.5 * rows, 3.2])
    maps = above.subplots(rows, columns, squeeze=False, sharey=True)
    panels = maps.ravel()
    for axes in panels[len(speeds) :]:
        axes.set_axis_off()
    for axes, (name, (_, found)) in zip(panels, speeds.items(), strict=False):
        angles = np.arange(positions)[:, None] * found
        image = axes.imshow(
            np.cos(angles), vmin=-1, vmax=1, cmap="PuOr", aspect="auto"
        )
        axes.set_xlabel("pair of channels")
        axes.set_title(name, fontsize=9)
    for axes in maps[:, 0]:
        axes.set_ylabel("position")
    above.colorbar(image, ax=panels.tolist(), label="cosine")
    _draw_turns(below.subplots(), speeds)
    return figure


def _draw_turns(axes: Any, speeds: Mapping[str, tuple]) -> None:
    """The length of a turn of each pair, and the contexts."""
    configs = [config for config, _ in speeds.values()]
    lines = {(one.context_length, "context", ":") for one in configs}
    lines |= {
        (one.rope.original_context, "original context", "--")
        for one in configs
        if one.rope and one.rope.original_context
    }
    for length, name, style in sorted(lines):
        axes.axhline(length, color="#888888", linestyle=style, linewidth=1)
        axes.annotate(
            f"{name} of {length:,}",
            *((0.01, length), (0, 2)),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=7,
            color="#555555",
        )
    for index, (name, (_, found)) in enumerate(speeds.items()):
        style = line_style(index)
        axes.plot(2 * math.pi / found, label=name or None, **style)
    axes.set(
        yscale="log",
        xlabel="pair of channels",
        ylabel="tokens of a whole turn",
    )
    axes.grid(alpha=0.3)
    if len(speeds) > 1:
        axes.legend(fontsize=8)
