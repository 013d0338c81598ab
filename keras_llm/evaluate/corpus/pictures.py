"""The pictures of a corpus: what was dropped, shares, lengths, words."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.evaluate.finding import Picture
from keras_llm.figures import new_figure

WIDTH = 6.0  # inches: still to be read on a phone
SHOWN = 15  # bars of a picture
LEAST = 0.5  # where 0 stands on a logarithmic scale
NAME = 38  # characters of a name


def bars(
    names: Sequence[str], values: Sequence[float], label: str, caption: str
) -> Picture:
    """Draws a bar for each name, the first on top, with its value.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> bars(["en", "de"], [0.9, 0.1], "share", "Languages.").caption
    'Languages.'
    """
    figure = new_figure(WIDTH, 1.0 + 0.27 * len(names))
    axes = figure.subplots()
    places = range(len(names))
    drawn = axes.barh(places, values)
    axes.bar_label(drawn, [_number(v) for v in values], padding=3, fontsize=8)
    axes.set_yticks(places, [_short(name) for name in names], fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top, no margins
    axes.set_xlim(0, 1.15 * (max(values, default=0) or 1))
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    return Picture(figure, caption)


def histogram(
    rows: Sequence[Mapping[str, Any]], label: str, caption: str, log: bool
) -> Picture:
    """Draws documents by the range that they are in.

    Args:
        rows: `from`, `to` and `documents`, without gaps.
        label: Of the ranges.
        caption: Below.
        log: Whether the ranges are on a logarithmic scale.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> row = {"from": 1.0, "to": 2.0, "documents": 3}
    >>> histogram([row], "words", "Lengths.", log=True).caption
    'Lengths.'
    """
    figure = new_figure(WIDTH, 3.2)
    axes = figure.subplots()
    edges = [row["from"] for row in rows] + [rows[-1]["to"]]
    if log:
        edges = [max(edge, LEAST) for edge in edges]
        _plain_log(axes, edges[-1] / edges[0])
    axes.stairs([row["documents"] for row in rows], edges, fill=True)
    axes.set(xlabel=label, ylabel="documents")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return Picture(figure, caption)


def heaps_curve(vocabulary: Mapping[str, Any], caption: str) -> Picture:
    """Draws how many different words there are after so many words.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> curve = [{"words": n, "types": n // 2} for n in (10, 100, 1000)]
    >>> heaps_curve({"curve": curve, "heaps": None}, "Words.").caption
    'Words.'
    """
    figure = new_figure(WIDTH, 3.6)
    axes = figure.subplots()
    words = [row["words"] for row in vocabulary["curve"]]
    types = [row["types"] for row in vocabulary["curve"]]
    axes.loglog(words, types, "o-", label="counted", markersize=4)
    if fit := vocabulary["heaps"]:
        axes.loglog(
            words,
            [fit["k"] * n ** fit["beta"] for n in words],
            "--",
            label=f"{fit['k']:.1f} · words^{fit['beta']:.2f}",
        )
        axes.legend()
    axes.set(xlabel="words read", ylabel="different words")
    axes.grid(alpha=0.3)
    return Picture(figure, caption)


def _plain_log(axes: Any, span: float) -> None:
    """A logarithmic scale with whole numbers, as many as there is room for."""
    from matplotlib import ticker

    axes.set_xscale("log")
    subs = (1, 2, 5) if span < 1000 else (1,)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _short(name: str) -> str:
    """The end of a name says more than its start: of a path, for instance.

    Dollar signs would be read as mathematics.
    """
    name = name.replace("$", r"\$").replace("\n", " ")
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def _number(value: float) -> str:
    whole = float(value).is_integer() and abs(value) >= 1
    return f"{int(value):,}" if whole else f"{value:.3g}"
