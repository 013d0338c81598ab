"""Quantization errors: what each weight and its output lose as integers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.quantize import (
    Integers,
    Moments,
    Quantization,
    Walk,
    dequantized_copy,
    integers,
    quantization,
    sample_rows,
)
from keras_llm.quantize.calibration import blocks
from keras_llm.visualize.palette import named

_CELLS = 14  # blocks up to which each cell has its number


@dataclasses.dataclass(frozen=True)
class QuantizationError:
    """What one weight loses.

    Attributes:
        path: Of the weight, such as "block_0/attention/query/kernel".
        weight: Norm of what is wrong with it over its norm.
        output: The same of what it makes of a text's hidden states; NaN for
            token tables, and without a text.

    Example:

    >>> QuantizationError("block_3/mlp/up/kernel", 0.1, 0.08).block
    3
    """

    path: str
    weight: float
    output: float

    @property
    def block(self) -> int | None:
        """Which block it is in; None for token tables."""
        first = self.path.split("/")[0]
        inside = first.startswith("block_")
        return int(first.removeprefix("block_")) if inside else None

    @property
    def kind(self) -> str:
        """Which weight of a block: "attention/query", "mlp/up"."""
        return self.path.partition("/")[2].removesuffix("/kernel")


def quantization_errors(
    model: Any, settings: Quantization | str, text: Any = None
) -> list[QuantizationError]:
    """Returns what each weight of a decoder loses, alone, as integers.

    Args:
        model: A `CausalLM`, or a decoder.
        settings: "int8", "int4", or more about it.
        text: What the decoder reads to find the errors of outputs, and what
            GPTQ and AWQ look at: a string (for a `CausalLM`), or ids
            `(rows, length)` as of `quantize.sample_rows`. Default: none.

    Returns:
        One for each weight that becomes integers, blocks in order. Errors of
        outputs are for the inputs that the decoder with all its floats gives.

    Raises:
        InputError: The storage is a float; GPTQ or AWQ have no text; a string
            is below 64 tokens, or the decoder has no tokenizer for it.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> errors = quantization_errors(model, "int8")
    >>> len(errors), max(one.weight for one in errors) < 0.01
    (8, True)
    """
    chosen = quantization(settings)
    if chosen.bits is None:
        raise InputError(
            'Expected "int8" or "int4", whose errors there are. Received: '
            f"{chosen.storage!r}."
        )
    decoder, rows = _read(model, text)
    found = integers(decoder, chosen, rows)
    copy = dequantized_copy(decoder, {})  # in float32, without adapters
    inputs = {} if rows is None else _inputs(copy, rows)
    return [
        _error(weight, found[weight.path], inputs.get(weight.path, ()))
        for weight in copy.weights
        if weight.path in found
    ]


def quantization_figure(
    model: Any,
    settings: Quantization | str | Mapping[str, Quantization | str],
    text: Any = None,
) -> Any:
    """Draws what each weight of each block loses as integers.

    Args:
        model, text: As for `quantization_errors`.
        settings: The same; or several by name, a row of maps for each.

    Returns:
        A `matplotlib.figure.Figure`: errors of the weights, and beside them
        those of their outputs if there is a text; in per cent.

    Raises:
        InputError: As for `quantization_errors`; matplotlib is missing.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=1, hidden_dim=8, num_heads=2))
    >>> quantization_figure(model, "int8").axes[0].get_xlabel()
    'block'
    """
    found = {
        name or quantization(one).name: quantization_errors(model, one, text)
        for name, one in named(settings).items()
    }
    parts = ("weight",) if text is None else ("weight", "output")
    first = next(iter(found.values()))
    kinds = list(dict.fromkeys(e.kind for e in first if e.block is not None))
    depth = 1 + max(e.block for e in first if e.block is not None)
    figure = new_figure(
        max(4.0, 0.42 * depth + 1.6) * len(parts) + 1,
        (0.27 * len(kinds) + 1.3) * len(found),
    )
    panels = figure.subplots(
        len(found), len(parts), squeeze=False, sharex=True, sharey=True
    )
    highest = 100 * np.nanmax(
        [
            (one.weight, one.output)
            for errors in found.values()
            for one in errors
            if one.block is not None
        ]
    )
    for row, (name, errors) in zip(panels, found.items(), strict=True):
        for axes, part in zip(row, parts, strict=True):
            table = _table(errors, part, kinds, depth)
            image = _draw(axes, table, highest)
            axes.set_title(
                f"{name}: {part}s{_tables(errors, part)}", fontsize=9
            )
    figure.colorbar(image, ax=panels.ravel().tolist(), label="error in %")
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("block")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _read(model: Any, text: Any) -> tuple[Any, np.ndarray | None]:
    """The decoder, and the rows that it reads."""
    decoder = model if isinstance(model, keras.Model) else model.model
    if not isinstance(text, str):
        return decoder, None if text is None else np.asarray(text, "int32")
    if decoder is model:
        raise InputError(
            "Expected ids (rows, length) for a decoder, which has no "
            "tokenizer. Received: a string. Pass a CausalLM."
        )
    ids = model.tokenizer.encode(text, disallowed_special=())
    return decoder, sample_rows(ids, model.config.context_length)


def _inputs(decoder: Any, rows: np.ndarray) -> dict[str, Sequence[Moments]]:
    """What each matrix is multiplied with, block by block."""
    walk, found = Walk(decoder, rows), {}
    for block in blocks(decoder):
        found |= walk.moments(block)
        walk.go_on(block)
    return found


def _error(
    variable: Any, found: Integers, moments: Sequence[Moments]
) -> QuantizationError:
    """Norms of what is wrong over norms of what is right."""
    weight = np.asarray(variable)
    wrong = found.dequantize() - weight
    share = float(np.linalg.norm(wrong) / np.linalg.norm(weight))
    output, whole = math.nan, _energy(weight, moments)
    if whole > 0:
        output = math.sqrt(_energy(wrong, moments) / whole)
    return QuantizationError(variable.path, share, output)


def _energy(weight: np.ndarray, moments: Sequence[Moments]) -> float:
    """Sum of squares of `x @ weight` over all inputs, of all experts."""
    parts = weight if weight.ndim == 3 else weight[None]
    pairs = zip(parts, moments, strict=len(moments) > 0)
    return sum(
        float((part * (seen.products @ part)).sum()) for part, seen in pairs
    )


def _table(
    errors: Sequence[QuantizationError], part: str, kinds: list, depth: int
) -> np.ndarray:
    """Errors in per cent: a row for each kind, a column for each block."""
    table = np.full((len(kinds), depth), np.nan)
    for one in errors:
        if one.block is not None:
            table[kinds.index(one.kind), one.block] = 100 * getattr(one, part)
    return table


def _draw(axes: Any, table: np.ndarray, highest: float) -> Any:
    """A map, with numbers where there is room for them."""
    image = axes.imshow(
        table, vmin=0, vmax=highest, cmap="Blues", aspect="auto"
    )
    for place, value in np.ndenumerate(table):
        if table.shape[1] <= _CELLS and not np.isnan(value):
            axes.text(
                *(*place[::-1], f"{value:.2g}"),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if value > 0.6 * highest else "black",
            )
    return image


def _tables(errors: Sequence[QuantizationError], part: str) -> str:
    """What a title says of token tables: their weights' error."""
    tables = [one.weight for one in errors if one.block is None]
    if part != "weight" or not tables:
        return ""
    return f" (token table {100 * max(tables):.2g} %)"
