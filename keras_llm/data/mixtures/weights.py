"""How much of each source: by size, by temperature, never too often."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_llm.errors import InputError

# Up to four epochs are worth about as much as new text, says Muennighoff
# et al. 2023, Scaling data-constrained language models.
REPEATS = 4


def temperature_weights(
    sizes: Sequence[float], temperature: float
) -> list[float]:
    """Returns shares proportional to size ** (1 / temperature).

    1 takes sources as large as they are, infinity all alike; between them
    small ones, such as rare languages, are seen more often. Where a paper
    says "exponent alpha", temperature is 1 / alpha: XLM (0.5) has 2, XLM-R
    and mT5 (0.3) have 3.33, multilingual BERT (0.7) has 1.43.

    Args:
        sizes: Tokens of each source, above 0.
        temperature: Above 0; `math.inf` too.

    Returns:
        One share per source; their sum is 1.

    Raises:
        InputError: A number is not above 0.

    Source: Conneau and Lample 2019, Cross-lingual language model
    pretraining; Xue et al. 2021, mT5.

    Example:

    >>> [round(x, 3) for x in temperature_weights([9_000, 1_000], 2)]
    [0.75, 0.25]
    """
    if not temperature > 0 or not sizes or min(sizes) <= 0:
        raise InputError(
            "Expected a temperature and sizes above 0. Received: "
            f"temperature={temperature}, sizes={list(sizes)}. Leave empty "
            "sources out; 1 keeps the shares as they are."
        )
    logs = np.log(np.asarray(sizes, np.float64)) / temperature
    powers = np.exp(logs - logs.max())
    return (powers / powers.sum()).tolist()


def weight_schedule(
    start: Mapping[str, float], end: Mapping[str, float], phases: int = 32
) -> list[dict[str, float]]:
    """Returns weights that go in a line from one mixture to another.

    Args:
        start: Weight of each source at the beginning.
        end: Weight of the same sources at the end.
        phases: Parts of equal length in which the weights stand still.

    Returns:
        One mapping for each phase, for `mix(..., weights=...)`.

    Raises:
        InputError: Other sources at the end, weights that `mix` refuses too,
            or fewer than one phase.

    Example:

    >>> weight_schedule({"web": 3, "books": 1}, {"web": 0, "books": 1}, 2)
    [{'web': 0.5625, 'books': 0.4375}, {'web': 0.1875, 'books': 0.8125}]
    """
    if set(start) != set(end) or phases < 1:
        raise InputError(
            "Expected weights of the same sources at the beginning and at the "
            f"end, and phases >= 1. Received: {sorted(start)}, {sorted(end)}, "
            f"phases={phases}. A weight may be 0."
        )
    first, last = shares([start, end], list(start))
    middles = (np.arange(phases) + 0.5) / phases
    return [
        dict(zip(start, (first + (last - first) * at).tolist(), strict=True))
        for at in middles
    ]


def shares(
    weights: Sequence[Mapping[str, float]], names: Sequence[str]
) -> np.ndarray:
    """Returns the weights of each phase as shares, (phases, sources).

    Raises:
        InputError: A source has no weight, a weight no source, a weight is
            negative or no number, or all are 0.

    Example:

    >>> shares([{"a": 3, "b": 1}], ["a", "b"]).tolist()
    [[0.75, 0.25]]
    """
    for one in weights:
        if set(one) != set(names):
            raise InputError(
                f"Expected a weight for each of {', '.join(names)}. Received: "
                f"weights for {', '.join(one) or 'none'}. Give each one."
            )
    table = np.array([[float(one[name]) for name in names] for one in weights])
    sums = table.sum(axis=1, keepdims=True)
    if not np.isfinite(table).all() or table.min() < 0 or sums.min() <= 0:
        raise InputError(
            "Expected weights of 0 or more, of which one is above 0. "
            f"Received: {[dict(one) for one in weights][:2]}."
        )
    return table / sums


def capped_tokens(
    weights: np.ndarray, tokens: float, most: Sequence[float]
) -> np.ndarray:
    """Returns the tokens to take from each source, none above its limit.

    What a source cannot give is shared among the others in proportion to
    their weights, until none is above its limit. With equal weights and
    `most` = sizes times epochs this is UniMax.

    Args:
        weights: Shares of phases of equal length, (phases, sources); each
            phase sums to 1. A source that is scarce is so in every phase.
        tokens: How many to take in all.
        most: Limit of each source over all phases; `math.inf` for none.

    Returns:
        float64, (phases, sources).

    Raises:
        InputError: The limits together leave too little.

    Source: Chung et al. 2023, UniMax: fairer and more effective language
    sampling for large-scale multilingual pretraining.

    Example:

    >>> capped_tokens(np.full((1, 3), 1 / 3), 90, [10, 35, 1000]).tolist()
    [[10.0, 35.0, 45.0]]
    """
    limits = np.asarray(most, np.float64)
    each = tokens / len(weights)
    taken, full = weights * each, np.zeros(len(limits), bool)
    while (over := ~full & (taken.sum(axis=0) > limits * (1 + 1e-12))).any():
        taken[:, over] *= limits[over] / taken[:, over].sum(axis=0)
        full |= over
        room = each - taken[:, full].sum(axis=1)
        others = np.where(full, 0, weights)
        total = others.sum(axis=1)
        if (room[total == 0] > each * 1e-9).any():
            raise InputError(
                f"Expected sources that give {tokens:,.0f} tokens without "
                "coming too often. Received: max_epochs leaves at most "
                f"{limits[weights.any(axis=0)].sum():,.0f}, in some phase too "
                "few. Ask for fewer tokens, raise max_epochs, or add sources."
            )
        scale = np.divide(room, total, np.zeros_like(room), where=total > 0)
        taken = np.where(full, taken, others * scale[:, None])
    return taken
