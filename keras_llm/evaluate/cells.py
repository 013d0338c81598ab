"""How numbers look on a page: as many digits as they deserve."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.evaluate.finding import Measure

NOTHING = "\N{EN DASH}"
MANY = 1e6  # from here on powers of ten are easier to read
ROUNDING = 1e-9  # a smaller error, relative to the value, is not one
_REAL = (float, np.floating)
_WHOLE = (int, np.integer)


class Grid(NamedTuple):
    """A table as text.

    Attributes:
        head: Names of the columns.
        right: For each column whether it is aligned to the right.
        lines: Cells, row by row.

    Example:

    >>> grid([{"task": "copa", "acc": Measure(0.51234, 0.05)}]).lines
    [['copa', '0.512 ± 0.050']]
    """

    head: list[str]
    right: list[bool]
    lines: list[list[str]]


def grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Returns rows of the same keys as text, each column in one precision.

    Example:

    >>> grid([{"n": 1200, "p": 0.5}, {"n": 3, "p": 1e-9}]).lines
    [['1,200', '0.5000'], ['3', '1.0e-09']]
    """
    head = [str(name) for name in (rows[0] if rows else ())]
    columns = [
        [row[name] for row in rows] for name in (rows[0] if rows else ())
    ]
    texts = [column_texts(column) for column in columns]
    return Grid(
        head,
        [_is_numeric(column) for column in columns],
        [list(line) for line in zip(*texts, strict=True)],
    )


def column_texts(values: Sequence[Any]) -> list[str]:
    """Returns the cells of one column.

    Example:

    >>> column_texts([12.3456, 1.0, None, True])
    ['12.35', '1.00', '–', 'yes']
    """
    reals = [abs(value) for value in values if _is_finite(value)]
    largest = max(reals, default=0.0)
    digits = 4 - len(str(int(largest))) if largest >= 1 else 4
    return [_text(value, max(0, digits)) for value in values]


def measure_text(measure: Measure) -> str:
    """Returns a value ± its error, to the error's second digit.

    Example:

    >>> measure_text(Measure(0.25444, 0.01132)), measure_text(Measure(20.0))
    ('0.254 ± 0.011', '20.00')
    """
    value, error = float(measure.value), measure.error
    known = error is not None and error > ROUNDING * abs(value)
    if error is None or not known or not math.isfinite(value * error):
        return column_texts([value])[0]
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 6 or abs(value) >= MANY:
        return f"{value:.2e} ± {error:.1e}"
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def _text(value: Any, digits: int) -> str:
    if isinstance(value, Measure):
        return measure_text(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or (isinstance(value, _REAL) and math.isnan(value)):
        return NOTHING
    if isinstance(value, _WHOLE):
        return f"{value:,}"
    if isinstance(value, _REAL):
        if math.isfinite(value) and abs(value) >= MANY:
            return f"{value:.2e}"
        too_small = 0 < abs(value) < 0.5 * 10.0**-digits
        return f"{value:.1e}" if too_small else f"{value:,.{digits}f}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return str(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, _REAL) and math.isfinite(value)


def _is_numeric(column: Sequence[Any]) -> bool:
    """Whether it has numbers, and beside them at most gaps."""
    known = [value for value in column if value is not None and value != ""]
    kinds = (*_REAL, *_WHOLE, Measure)
    return bool(known) and all(
        isinstance(value, kinds) and not isinstance(value, bool)
        for value in known
    )
