"""Expert load: how evenly a mixture of experts sends tokens to its experts."""

from typing import Any

import numpy as np

from keras_llm.evaluate.experts import expert_load
from keras_llm.figures import new_figure
from keras_llm.visualize.palette import COLOURS

_CELLS = 160  # up to so many have their number


def expert_imbalance(load: np.ndarray) -> np.ndarray:
    """Returns how much more than its share the busiest expert has.

    Args:
        load: Shares of choices `(num_layers, count)`, as `expert_load` gives.

    Returns:
        float64 `(num_layers,)`: 0 if all are used equally. The most there can
        be is `count / top_k - 1`: every token takes the same experts.

    Source: MaxVio of Wang et al. 2024, https://arxiv.org/abs/2408.15664.

    Example:

    >>> expert_imbalance(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    load = np.asarray(load, "float64")
    return load.max(axis=-1) / load.mean(axis=-1) - 1


def expert_load_figure(model: Any, rows: Any) -> Any:
    """Draws how often each expert of each layer is chosen.

    Args:
        model: A decoder with experts, or a `CausalLM` of one.
        rows: Token ids `(batch, time)`, or the dictionary of packed rows.

    Returns:
        A `matplotlib.figure.Figure`: a row for each layer, a column for each
        expert. 1 is an equal share; beside it `expert_imbalance`.

    Raises:
        InputError: The model has no experts; matplotlib is missing.

    Example:

    >>> from keras_llm import DecoderConfig, Experts, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=3, hidden_dim=8, num_heads=2,
    ...     experts=Experts(count=4, top_k=2)))
    >>> len(expert_load_figure(model, np.array([[1, 2, 3]])).axes[0].texts)
    12
    """
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.ticker import MaxNLocator

    load = expert_load(getattr(model, "model", model), rows)
    layers, count = load.shape
    times = load * count
    figure = new_figure(max(7.0, 0.42 * count + 3.0), 0.34 * layers + 1.8)
    left, right = figure.subplots(
        1, 2, sharey=True, width_ratios=[max(3.0, 0.3 * count), 1.2]
    )
    highest = max(2.0, float(times.max()))
    shades = TwoSlopeNorm(1.0, 0.0, highest)  # an equal share is white
    image = left.imshow(times, norm=shades, cmap="PuOr", aspect="auto")
    for layer, expert in np.ndindex(layers, count):
        if layers * count <= _CELLS:
            dark = abs(shades(times[layer, expert]) - 0.5) > 0.3
            left.text(
                *(expert, layer, f"{times[layer, expert]:.1f}"),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    left.set(xlabel="expert", ylabel="layer", yticks=range(layers))
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, ax=left, label="times an equal share")
    right.barh(range(layers), expert_imbalance(load), color=COLOURS[0])
    right.set_xlabel("busiest expert's\nexcess over its share")
    right.spines[["top", "right"]].set_visible(False)
    return figure
