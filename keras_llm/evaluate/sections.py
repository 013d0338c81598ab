"""Findings made ready for a page: figures drawn, anchors and names unique."""

import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import (
    Block,
    Code,
    Finding,
    HeatMap,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)

DPI = 144
CSS_DPI = 96
SHADES = 8
_BLOCKS = (Title, Words, Code, Table, Picture, HeatMap)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure as a PNG.

    Attributes:
        file: Its name.
        png: The file's bytes.
        width: In CSS pixels.
        caption: One sentence, also its text for those who cannot see it.

    Example:

    >>> Drawing("01-loss.png", b"", 768, "Loss.").file
    '01-loss.png'
    """

    file: str
    png: bytes
    width: int
    caption: str


Part: TypeAlias = Title | Words | Code | Table | Drawing | HeatMap


class Section(NamedTuple):
    """A finding made ready.

    Attributes:
        title: Its heading.
        anchor: Where links go, unique on the page.
        parts: Its blocks, figures drawn.
        measures: Its numbers by name.

    Example:

    >>> Section("Size", "size", [Words("9 tokens.")], {}).anchor
    'size'
    """

    title: str
    anchor: str
    parts: list[Part]
    measures: Mapping[str, Measure]


def sections_of(findings: Sequence[Finding]) -> list[Section]:
    """Returns findings made ready, in their order.

    Raises:
        InputError: Something is no finding, a block is of no known kind, or
            two findings have measures of the same name.

    Example:

    >>> sections_of([])
    []
    """
    measures_of(findings)
    anchors: set[str] = set()
    figures: list[str] = []
    return [
        Section(
            finding.title,
            _anchor(finding.title, anchors),
            [_ready(block, figures) for block in finding.blocks()],
            finding.measures(),
        )
        for finding in findings
    ]


def measures_of(findings: Sequence[Finding]) -> dict[str, Measure]:
    """Returns the measures of all findings by name.

    Raises:
        InputError: Something is no finding, or two have a measure of the
            same name.

    Example:

    >>> measures_of([])
    {}
    """
    found: dict[str, Measure] = {}
    for finding in findings:
        if not isinstance(finding, Finding):
            raise InputError(
                "Expected findings: objects with a title, measures, blocks "
                f"and to_dict. Received: {finding!r:.60}."
            )
        twice = sorted(found.keys() & finding.measures().keys())
        if twice:
            raise InputError(
                "Expected every measure once. Received: several of "
                f"{', '.join(twice)}. Leave one of the findings out, or "
                "write a report for each."
            )
        found |= finding.measures()
    return found


def figure_png(figure: Any) -> bytes:
    """Returns a matplotlib figure as a PNG, the same bytes each time.

    Example:

    >>> from keras_llm.figures import new_figure
    >>> figure_png(new_figure(1, 1))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def shades(heat: HeatMap) -> Iterator[tuple[str, float, int | None]]:
    """Yields each token, its value, and how warm it is.

    The warmth is from 0, for the lowest value, to `SHADES - 1`; None for a
    value that is not finite.

    Raises:
        InputError: There are not as many values as tokens.

    Example:

    >>> list(shades(HeatMap(["a", "b"], [0.0, 5.0], "Loss.")))
    [('a', 0.0, 0), ('b', 5.0, 7)]
    """
    if len(heat.tokens) != len(heat.values):
        raise InputError(
            "Expected one value for each token of a heat map. Received: "
            f"{len(heat.tokens)} tokens and {len(heat.values)} values in "
            f"{heat.caption!r}."
        )
    low, high = limits(heat)
    room = (high - low) or 1.0
    for token, value in zip(heat.tokens, heat.values, strict=True):
        warmth = None
        if np.isfinite(value):
            warmth = min(SHADES - 1, int(SHADES * (value - low) / room))
        yield token, float(value), warmth


def limits(heat: HeatMap) -> tuple[float, float]:
    """Returns the lowest and the highest finite value, zeros without one.

    Example:

    >>> limits(HeatMap(["a", "b"], [float("nan"), 5.0], "Loss."))
    (5.0, 5.0)
    """
    values = np.asarray(heat.values, "float64")
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    return float(values.min()), float(values.max())


def slug(text: str, longest: int = 48) -> str:
    """Returns a text as a name for files and links.

    Example:

    >>> slug("Loss by position: É!")
    'loss-by-position-e'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore")
    words = re.findall("[a-z0-9]+", plain.decode().lower())
    return "-".join(words)[:longest].strip("-") or "part"


def _anchor(title: str, used: set[str]) -> str:
    name, number = slug(title), 1
    while name in used:
        number += 1
        name = f"{slug(title)}-{number}"
    used.add(name)
    return name


def _ready(block: Block, figures: list[str]) -> Part:
    if not isinstance(block, _BLOCKS):
        names = ", ".join(kind.__name__ for kind in _BLOCKS)
        raise InputError(
            f"Expected blocks among {names}. Received: {block!r:.60}."
        )
    if not isinstance(block, Picture):
        return block
    figures.append(f"{len(figures) + 1:02d}-{slug(block.caption)}.png")
    width = round(block.figure.get_size_inches()[0] * CSS_DPI)
    return Drawing(figures[-1], figure_png(block.figure), width, block.caption)
