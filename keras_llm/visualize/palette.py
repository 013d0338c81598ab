"""What the pictures share: colours that everyone can tell apart, and words."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Thing = TypeVar("Thing")

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7"),
    *("#56B4E9", "#D55E00", "#F0E442", "#555555"),
)
"""Of lines and bars; Okabe & Ito 2008, https://jfly.uni-koeln.de/color/."""
TINTS = ("#CFE5F3", "#FBE3B5", "#C8EBDD", "#F3D9E7", "#F8D2BC")
"""Behind black letters; light forms of some of the colours."""
STYLES = ("-", "--", "-.", ":")
UNITS = {"GB": 10**9, "MB": 10**6, "kB": 10**3, "bytes": 1}


def colour(index: int) -> str:
    """Returns a colour of a line or bar; they repeat.

    Example:

    >>> colour(0) == colour(len(COLOURS))
    True
    """
    return COLOURS[index % len(COLOURS)]


def line_style(index: int) -> dict[str, str]:
    """Returns how a line is drawn, so that grey prints tell lines apart too.

    Example:

    >>> line_style(1)["linestyle"]
    '--'
    """
    return {
        "color": colour(index),
        "linestyle": STYLES[index % len(STYLES)],
    }


def byte_unit(largest: float) -> tuple[str, int]:
    """Returns a unit in which a number of bytes is at least 1, and its size.

    Example:

    >>> byte_unit(3_500_000)
    ('MB', 1000000)
    """
    for unit, size in UNITS.items():
        if largest >= size:
            return unit, size
    return "bytes", 1


def named(things: Mapping[str, Thing] | Thing) -> dict[str, Thing]:
    """Returns things by name; one alone has the name "".

    Example:

    >>> named(3), named({"a": 3})
    ({'': 3}, {'a': 3})
    """
    return dict(things) if isinstance(things, Mapping) else {"": things}


def drawable(text: str) -> str:
    """Returns a text whose characters the monospaced font has.

    Others become their number, as in Python; set matplotlib's
    `rcParams["font.monospace"]` to a font that has them to see them.

    Example:

    >>> drawable("rose \\U00020000")
    'rose \\\\U00020000'
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="monospace")))
    return "".join(
        c
        if font.get_char_index(ord(c))
        else c.encode("unicode_escape").decode()
        for c in text
    )


def name_tokens(axes: Any, labels: Sequence[str], most: int = 40) -> bool:
    """Writes tokens along both axes of a map, if there is room for them.

    Args:
        axes: Of the map, a row and a column for each token.
        labels: The tokens.
        most: Tokens up to which each has its name.

    Returns:
        Whether they were written.

    Example:

    >>> from keras_llm.figures import new_figure
    >>> name_tokens(new_figure().subplots(), ["a", "rose"])
    True
    """
    if len(labels) > most:
        return False
    places, labels = range(len(labels)), [drawable(one) for one in labels]
    axes.set_xticks(places, labels, rotation=90, fontsize=7)
    axes.set_yticks(places, labels, fontsize=7)
    return True
