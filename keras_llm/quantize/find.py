"""From a decoder to integers: every weight that can be one, by one method."""

from collections.abc import Sequence

import numpy as np

from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.progress import track
from keras_llm.quantize.awq import awq
from keras_llm.quantize.calibration import Moments, Walk, blocks
from keras_llm.quantize.gptq import gptq
from keras_llm.quantize.grid import Integers, rounding
from keras_llm.quantize.settings import GPTQ, INT4, Quantization
from keras_llm.quantize.weights import TABLE, is_matrix, is_table
from keras_llm.sketch import blank_decoder


def integers(
    model: Decoder,
    settings: Quantization,
    rows: np.ndarray | None = None,
    progress: bool = False,
) -> dict[str, Integers]:
    """Returns the integers of a decoder's matrices and token table.

    With GPTQ and AWQ each block is looked at with the integers of the blocks
    before it in place.

    Args:
        model: A decoder. It stays as it is; of adapters, a merged copy is
            looked at.
        settings: Storage "int8" or "int4", and the method; nothing is found
            for a float storage.
        rows: From `sample_rows`, for GPTQ and AWQ.
        progress: Whether a bar is shown.

    Returns:
        Path of a weight -> its `Integers`.

    Raises:
        InputError: The method needs rows and there are none.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> found = integers(model, Quantization(storage="int4"))
    >>> found["block_0/attention/query/kernel"].bits
    4
    """
    from keras_llm.adapters import merged_copy  # it reads our grid

    if settings.bits is None:
        return {}
    model = merged_copy(model)
    found = {
        weight.path: rounding(
            np.asarray(weight), 8, axis=-1 if weight.path == TABLE else -2
        )
        for weight in model.weights
        if is_table(weight)
    }
    if settings.calibrated:
        if rows is None:
            raise InputError(
                f"Expected a calibration text for {settings.method}, which "
                "looks at what layers see. Received: none. Pass a text like "
                "those it will read, or use method='round'."
            )
        return found | _calibrated(model, settings, rows, progress)
    group = _group(settings)
    return found | {
        weight.path: rounding(np.asarray(weight), settings.bits, group)
        for weight in model.weights
        if is_matrix(weight)
    }


def dequantized_copy(model: Decoder, found: dict[str, Integers]) -> Decoder:
    """Returns a float32 decoder with the weights that integers stand for.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> copy = dequantized_copy(model, integers(model,
    ...     Quantization(storage="int8")))
    >>> bool(np.abs(copy(np.ones((1, 3))) - model(np.ones((1, 3)))).max() < .1)
    True
    """
    from keras_llm.adapters import merged_copy

    copy = blank_decoder(model.config, "float32")
    for old, new in zip(merged_copy(model).weights, copy.weights, strict=True):
        known = found.get(old.path)
        new.assign(old.value if known is None else known.dequantize())
    return copy


def _calibrated(
    model: Decoder, settings: Quantization, rows: np.ndarray, progress: bool
) -> dict[str, Integers]:
    """The matrices block by block, each after those before it."""
    copy, found = dequantized_copy(model, {}), {}
    walk, order = Walk(copy, rows), blocks(copy)
    for block in (
        track(order, settings.method, len(order)) if progress else (order)
    ):
        moments = walk.moments(block)
        for weight in block.weights:
            if is_matrix(weight):
                seen = moments[weight.path]
                best = _matrix(np.asarray(weight), seen, settings)
                weight.assign(best.dequantize())
                found[weight.path] = best
        walk.go_on(block)
    return found


def _matrix(
    weight: np.ndarray, seen: Sequence[Moments], settings: Quantization
) -> Integers:
    """One matrix, or those of all experts, each with what it has seen."""
    if weight.ndim == 3:
        parts = [
            _matrix(part, [moments], settings)
            for part, moments in zip(weight, seen, strict=True)
        ]
        return _stacked(parts)
    bits, group = settings.bits or 8, _group(settings)
    moments = seen[0]
    if settings.method == GPTQ:
        return gptq(weight, moments.products, bits, group)
    return awq(weight, moments.products, moments.sizes, bits, group)


def _stacked(parts: list[Integers]) -> Integers:
    """The matrices of experts as one; where one has a factor, all have."""
    factor = None
    if any(part.factor is not None for part in parts):
        ones = np.ones(parts[0].values.shape[0], "float32")
        factor = np.stack(
            [ones if p.factor is None else p.factor for p in parts]
        )
    return Integers(
        np.stack([part.values for part in parts]),
        np.stack([part.scale for part in parts]),
        parts[0].group,
        bits=parts[0].bits,
        factor=factor,
    )


def _group(settings: Quantization) -> int | None:
    return settings.group if settings.storage == INT4 else None
