"""Token colours: how tokenizers cut a text, one under the other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_llm.figures import new_figure
from keras_llm.visualize.losses import LINE, wrapped
from keras_llm.visualize.observing import token_label
from keras_llm.visualize.palette import TINTS, drawable, named

_LETTER = 0.095  # width in inches of a letter of the font below
_SIZE, _SMALL = 11, 6.5  # of the letters of tokens and of ids, in points
_GAP = 0.4  # letters between two boxes
_SPECIAL = "#444444"


class Token(NamedTuple):
    """A token of a text.

    Attributes:
        id: Its number.
        label: What it spells; spaces, line ends and bytes of half a character
            are drawn.
        special: Whether it is a special token.

    Example:

    >>> Token(32, "·").special
    False
    """

    id: int
    label: str
    special: bool = False


def text_tokens(text: str, tokenizer: Any) -> list[Token]:
    """Returns the tokens of a text, special tokens that it spells too.

    Args:
        text: The text.
        tokenizer: One of `keras_llm.tokenizers`.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 264)
    >>> [token.label for token in text_tokens("rose", tokenizer)]
    ['ros', 'e']
    """
    special = set(tokenizer.special_tokens.values())
    return [
        Token(number, token_label(number, tokenizer), number in special)
        for number in tokenizer.encode(text, allowed_special="all")
    ]


def token_figure(
    text: str, tokenizer: Any | Mapping[str, Any], ids: bool = True
) -> Any:
    """Draws every token of a text in a box of its own, with its id.

    Args:
        text: The text.
        tokenizer: One of `keras_llm.tokenizers`, or several by name, which
            are drawn under each other.
        ids: Whether the ids stand under the tokens. Default: True.

    Returns:
        A `matplotlib.figure.Figure`. Over each tokenizer's tokens stand their
        number and how many bytes of the text are in one.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a rose is a rose"], 264)
    >>> axes = token_figure("a rose", tokenizer).axes[0]
    >>> [one.get_text() for one in axes.texts][:3]
    ['3 tokens, 2.00 bytes each', 'a', '97']
    """
    step = 1.9 if ids else 1.3
    parts = []
    for name, one in named(tokenizer).items():
        tokens = text_tokens(text, one)
        cells = _cells(tokens, ids)
        parts.append((_title(name, text, tokens), tokens, cells))
    heights = [1.5 + step * len(wrapped(cells)) for *_, cells in parts]
    figure = new_figure(_LETTER * (LINE + 8), 0.19 * sum(heights) + 0.1)
    axes = figure.subplots()
    axes.set(xlim=(-1, LINE + 7), ylim=(-sum(heights), 0))
    axes.set_axis_off()
    top = 0.0
    for (title, tokens, cells), height in zip(parts, heights, strict=True):
        axes.text(0, top - 0.7, title, fontsize=9, va="center")
        for row, line in enumerate(wrapped(cells)):
            _draw_line(axes, tokens, cells, line, top - 2 - step * row, ids)
        top -= height
    return figure


def _title(name: str, text: str, tokens: Sequence[Token]) -> str:
    each = len(text.encode()) / max(len(tokens), 1)
    title = f"{len(tokens)} tokens, {each:.2f} bytes each"
    return f"{name}: {title}" if name else title


def _cells(tokens: Sequence[Token], ids: bool) -> list[str]:
    """What each token takes on a line: the wider of its label and its id."""
    return [
        drawable(one.label).rjust(round(len(str(one.id)) * 0.7) if ids else 0)
        for one in tokens
    ]


def _draw_line(
    axes: Any,
    tokens: Sequence[Token],
    cells: Sequence[str],
    line: Sequence[int],
    y: float,
    ids: bool,
) -> None:
    """Boxes from left to right, their ids below."""
    from matplotlib.patches import Rectangle

    x = 0.0
    for place in line:
        token, width = tokens[place], len(cells[place])
        box = _SPECIAL if token.special else TINTS[place % len(TINTS)]
        corner = (x - _GAP / 2, y - 0.55)
        axes.add_patch(Rectangle(corner, width + _GAP / 2, 1.1, color=box))
        middle = x + width / 2 - _GAP / 4
        axes.text(
            *(middle, y - 0.05, cells[place].strip()),
            family="monospace",
            fontsize=_SIZE,
            color="white" if token.special else "black",
            ha="center",
            va="center",
        )
        if ids:
            axes.text(
                *(middle, y - 0.9, str(token.id)),
                fontsize=_SMALL,
                color="#444444",
                ha="center",
                va="center",
            )
        x += width + _GAP
