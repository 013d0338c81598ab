"""What an evaluation found: numbers for machines, blocks for readers.

Every part of the evaluation (benchmarks, calibration, bias, ...) returns a
`Finding`. A report, a gate and TensorBoard need to know nothing else of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable


class Measure(NamedTuple):
    """One number with its uncertainty.

    Attributes:
        value: The number.
        error: Its standard error, None where there is none.
        count: Items it was measured on.
        higher_is_better: None where neither is (a length, a rate).

    Example:

    >>> Measure(0.25, 0.01, 1000).higher_is_better
    True
    """

    value: float
    error: float | None = None
    count: int | None = None
    higher_is_better: bool | None = True


@dataclasses.dataclass(frozen=True)
class Words:
    """A paragraph, in plain words: it is shown as it is, not as Markdown.

    Example:

    >>> Words("Nothing was found.").text
    'Nothing was found.'
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Text shown letter for letter: a prompt, an answer.

    Example:

    >>> Code("1 + 1 = 3").text
    '1 + 1 = 3'
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Title:
    """A heading within a finding.

    Example:

    >>> Title("Worst items").text
    'Worst items'
    """

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of the same keys; numbers stay numbers, the page rounds them.

    A `Measure` in a cell is shown as value ± error.

    Example:

    >>> Table([{"task": "copa", "acc": Measure(0.5, 0.05)}]).caption
    ''
    """

    rows: Sequence[Mapping[str, Any]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A matplotlib figure.

    Attributes:
        figure: A `matplotlib.figure.Figure`; its file's name comes from the
            caption.
        caption: One sentence below it, its text for those who cannot see it.

    Example:

    >>> Picture(None, "Loss by position.").caption
    'Loss by position.'
    """

    figure: Any
    caption: str


@dataclasses.dataclass(frozen=True)
class HeatMap:
    """Tokens of a text, each on a colour: the higher, the warmer.

    Attributes:
        tokens: As text, in order.
        values: One for each token; NaN has no colour.
        caption: What the values are, with their unit.

    Example:

    >>> HeatMap(["a", " rose"], [0.5, 3.0], "Loss in nats.").caption
    'Loss in nats.'
    """

    tokens: Sequence[str]
    values: Sequence[float]
    caption: str


Block: TypeAlias = Title | Words | Code | Table | Picture | HeatMap


@runtime_checkable
class Finding(Protocol):
    """One part of an evaluation.

    Example:

    >>> class Size:
    ...     title = "Size"
    ...     def measures(self): return {"size/tokens": Measure(9.0)}
    ...     def blocks(self): return [Words("9 tokens.")]
    ...     def to_dict(self): return {"tokens": 9}
    >>> isinstance(Size(), Finding)
    True
    """

    @property
    def title(self) -> str:
        """Returns the heading of its section."""
        ...

    def measures(self) -> Mapping[str, Measure]:
        """Returns its numbers by name, `part/metric`, for example `copa/acc`.

        The names are what `--fail-below copa/acc=0.6` and TensorBoard use.
        """
        ...

    def blocks(self) -> Sequence[Block]:
        """Returns what a reader sees, from top to bottom."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        ...
