"""prune: a smaller decoder out of a large one, with a real smaller config."""

import dataclasses
from typing import Any

import numpy as np

from keras_llm.adapters import merged_copy
from keras_llm.causal_lm import CausalLM, float32_copy
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError, check_choice
from keras_llm.pruning.scores import (
    ACTIVATION,
    CRITERIA,
    MAGNITUDE,
    BlockScores,
    block_scores,
)
from keras_llm.quantize import sample_rows
from keras_llm.sketch import blank_decoder


def prune(
    lm: CausalLM,
    *,
    layers: int | None = None,
    heads: int | None = None,
    mlp: int | None = None,
    by: str = MAGNITUDE,
    calibration: str | None = None,
) -> CausalLM:
    """Returns a language model with fewer layers, heads or MLP channels.

    What is left has the weights it had. Every layer keeps as many heads and
    channels as the others, but its own best ones. Heads go in groups: a
    key-value head with all query heads that read it. `head_dim` stays.

    Args:
        lm: A language model. It stays as it is.
        layers: How many layers to keep. None keeps all.
        heads: How many query heads of a layer to keep, a multiple of
            `num_heads // num_kv_heads`. None keeps all.
        mlp: How many channels of the MLP to keep, or of each expert. None
            keeps all.
        by: "magnitude" of the weights, or "activation" on a text.
        calibration: The text for "activation".

    Raises:
        InputError: More is to be kept than there is, or less than one;
            nothing is to be left out; heads do not go in groups, or are
            normalized together (`qk_norm="projection"`), so that without one
            of them the others change; there is no calibration text.

    Source: `block_scores`.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=3,
    ...     hidden_dim=8, num_heads=2)), tokenizer)
    >>> small = prune(lm, layers=2, heads=1, mlp=16).config
    >>> small.num_layers, small.num_heads, small.head_dim, small.mlp_dim
    (2, 1, 4, 16)
    """
    check_choice("by", by, CRITERIA)
    lm = lm.replace(model=merged_copy(lm.model))
    config = lm.config
    smaller = _smaller(config, layers, heads, mlp)
    rows = None
    if by == ACTIVATION:
        rows = _rows(lm, calibration)
    model = float32_copy(lm.model) if _rounds(lm.model) else lm.model
    scores = block_scores(model, rows)
    kept = _best(np.array([s.block for s in scores]), smaller.num_layers)
    kinds = "".join(config.layer_kinds[index] for index in kept)
    smaller = dataclasses.replace(smaller, pattern=_pattern(kinds))
    made = blank_decoder(smaller, lm.model.dtype_policy)
    values = {weight.path: weight for weight in lm.model.weights}
    for weight in made.weights:
        block, _, rest = weight.path.partition("/")
        if block.startswith("block_"):
            old = kept[int(block.removeprefix("block_"))]
            value = np.asarray(values[f"block_{old}/{rest}"])
            value = _cut(value, rest, scores[old], config, smaller)
        else:
            value = np.asarray(values[weight.path])
        weight.assign(value)
    return lm.replace(model=made)


def _rounds(model: Any) -> bool:
    return {model.compute_dtype, model.variable_dtype} != {"float32"}


def _rows(lm: CausalLM, calibration: str | None) -> np.ndarray:
    if calibration is None:
        raise InputError(
            "Expected a calibration text with by='activation'. Received: "
            "none. Pass a text like those it will read, or use "
            "by='magnitude'."
        )
    ids = lm.tokenizer.encode(calibration, disallowed_special=())
    return sample_rows(ids, lm.config.context_length)


def _smaller(
    config: DecoderConfig,
    layers: int | None,
    heads: int | None,
    mlp: int | None,
) -> DecoderConfig:
    """The config after pruning, its pattern not yet that of the layers."""
    experts = config.experts
    channels = (experts and experts.mlp_dim) or config.mlp_dim
    layers = _kept("layers", layers, config.num_layers)
    heads = _kept("heads", heads, config.num_heads)
    mlp = _kept("mlp", mlp, channels)
    before = (config.num_layers, config.num_heads, channels)
    if (layers, heads, mlp) == before:
        raise InputError(
            "Expected fewer layers, heads or MLP channels than there are. "
            f"Received: {layers}, {heads} and {mlp}, all of them."
        )
    group = config.num_heads // config.num_kv_heads
    if heads % group:
        raise InputError(
            f"Expected heads to be a multiple of {group}, because so many "
            f"query heads share a key-value head. Received: {heads}."
        )
    if heads < config.num_heads and config.qk_norm == "projection":
        raise InputError(
            "Expected all heads to be kept, because this model normalizes "
            "them together: without one of them the others would change. "
            f"Received: heads={heads}. Prune layers or MLP channels."
        )
    changes: dict[str, Any] = {"mlp_dim": mlp}
    if experts is not None:
        same = dataclasses.replace(experts, mlp_dim=mlp)
        changes = {"experts": same}
    return dataclasses.replace(
        config,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads // group,
        pattern=config.layer_kinds,
        **changes,
    )


def _kept(name: str, chosen: int | None, most: int) -> int:
    if chosen is None:
        return most
    if isinstance(chosen, bool) or not isinstance(chosen, int):
        raise InputError(
            f"Expected {name} as an integer, how many to keep. Received: "
            f"{chosen!r}."
        )
    if not 1 <= chosen <= most:
        raise InputError(
            f"Expected {name} from 1 to {most}, how many to keep. Received: "
            f"{chosen}."
        )
    return chosen


def _pattern(kinds: str) -> str:
    """The shortest pattern that tiles to these kinds."""
    sizes = range(1, len(kinds) + 1)
    patterns = (kinds[:size] for size in sizes)
    return next(p for p in patterns if (p * len(kinds))[: len(kinds)] == kinds)


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Indices of the largest along the last axis, in their old order."""
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :count]
    return np.sort(order, axis=-1)


def _cut(
    value: np.ndarray,
    path: str,
    scores: BlockScores,
    old: DecoderConfig,
    new: DecoderConfig,
) -> np.ndarray:
    """One weight of a block, without what is left out of it."""
    parts = path.split("/")
    if parts[0] == "attention":
        kept = _best(scores.heads, new.num_kv_heads)
        return _cut_heads(value, parts[1:], kept, old)
    for name in ("experts/shared", "experts", "mlp"):
        inside = path.removeprefix(f"{name}/").split("/")
        side = inside[0].removesuffix("_bias")
        known = path.startswith(f"{name}/") and name in scores.channels
        if known and side in ("gate", "up", "down"):
            kept = _best(scores.channels[name], _channels(name, new))
            bias = "bias" in inside[-1]
            return _cut_channels(value, side, bias, kept)
    return value


def _channels(name: str, config: DecoderConfig) -> int:
    """Channels inside of an MLP of this config."""
    experts = config.experts
    if experts is None:
        return config.mlp_dim
    alone = experts.mlp_dim or config.mlp_dim
    return alone * (experts.shared if name == "experts/shared" else 1)


def _cut_heads(
    value: np.ndarray, parts: list[str], kept: np.ndarray, old: DecoderConfig
) -> np.ndarray:
    """A weight of attention with these key-value heads."""
    name, groups = parts[0], old.num_kv_heads
    if name == "sinks":
        return value.reshape(groups, -1)[kept].ravel()
    if name not in ("query", "key", "value", "output"):
        return value  # a norm over the channels of one head
    if name == "output":
        if parts[-1] == "bias":
            return value
        rows = value.reshape(groups, -1, value.shape[-1])
        return rows[kept].reshape(-1, value.shape[-1])
    columns = value.reshape(*value.shape[:-1], groups, -1)
    return columns[..., kept, :].reshape(*value.shape[:-1], -1)


def _cut_channels(
    value: np.ndarray, side: str, bias: bool, kept: np.ndarray
) -> np.ndarray:
    """A weight of an MLP, or of all experts, with these channels."""
    if side == "down" and bias:
        return value
    axis = value.ndim - (2 if side == "down" else 1)
    if kept.ndim == 1:
        return np.take(value, kept, axis=axis)
    between = axis - 1  # axes of a matrix around its channels
    index = kept.reshape(len(kept), *[1] * between, -1)
    index = index.reshape(*index.shape, *[1] * (value.ndim - index.ndim))
    return np.take_along_axis(value, index, axis=axis)
