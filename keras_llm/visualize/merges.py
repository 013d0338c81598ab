"""Merge tree: which bytes of a word join first, and into what."""

import itertools
from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tokenizers.byte_text import clean
from keras_llm.tokenizers.training import pre_tokenizer
from keras_llm.visualize.observing import bytes_label
from keras_llm.visualize.palette import TINTS, drawable

_LEAF, _TOKEN = "#eeeeee", TINTS[1]


class Merge(NamedTuple):
    """One step from the bytes of a word to its tokens.

    Attributes:
        id: Of the token that is made: its rank, the lowest merges first.
        start: The byte of the word where it begins.
        parts: The tokens that it is made of, two of them; more where a
            vocabulary has a whole word that its merges do not reach.

    Example:

    >>> Merge(256, 0, (b"l", b"o")).token
    b'lo'
    """

    id: int
    start: int
    parts: tuple[bytes, ...]

    @property
    def token(self) -> bytes:
        """What is made."""
        return b"".join(self.parts)


def merge_steps(word: str, tokenizer: Any) -> list[Merge]:
    """Returns the merges of a word in the order they are done.

    Args:
        word: What the split rule leaves whole: a word, maybe with a space
            before it.
        tokenizer: Of the byte-pair kind.

    Raises:
        InputError: The tokenizer is of another kind, or cuts the text into
            several words first.

    Source: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["low lower lowest"] * 9, 263)
    >>> [merge.token for merge in merge_steps("low", tokenizer)]
    [b'lo', b'low']
    """
    return _merged(word, tokenizer)[0]


def merge_tree_figure(word: str, tokenizer: Any) -> Any:
    """Draws how a word's bytes join into tokens, the first merge lowest.

    Args and errors as for `merge_steps`; matplotlib may be missing.

    Returns:
        A `matplotlib.figure.Figure`. A line for each step; the word's tokens
        are coloured, and each has its id, which is the rank of the merge.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["low lower lowest"] * 9, 263)
    >>> [t.get_text() for t in merge_tree_figure("low", tokenizer).texts]
    ['low: 3 bytes, 2 merges, 1 token']
    """
    steps, tokens = _merged(word, tokenizer)
    data = b"".join(tokens)
    width = max(4.0, 0.55 * len(data) + 1.2)
    figure = new_figure(width, 0.42 * len(steps) + 1.5)
    axes = figure.subplots()
    last = _starts(tokens)
    nodes = {}  # where a token begins now -> its middle, height and bytes
    for place, byte in enumerate(data):
        nodes[place] = (place, 0, bytes([byte]))
        number = tokenizer.vocabulary.ranks[bytes([byte])]
        _draw_node(axes, nodes[place], number, last.get(place))
    for height, step in enumerate(steps, 1):
        middle = step.start + (len(step.token) - 1) / 2
        node = (middle, height, step.token)
        for start in _starts(step.parts):
            _draw_branch(axes, nodes[step.start + start], node)
        _draw_node(axes, node, step.id, last.get(step.start))
        nodes[step.start] = node
    axes.set(
        xlim=(-0.8, len(data) - 0.2),
        ylim=(-0.6, len(steps) + 0.6),
        xticks=[],
        ylabel="step",
        yticks=range(1, len(steps) + 1),
    )
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(_title(data, len(steps), len(tokens)), fontsize=10)
    return figure


def _merged(word: str, tokenizer: Any) -> tuple[list[Merge], list[bytes]]:
    """The steps, and the tokens that are left at the end."""
    if not isinstance(tokenizer, HostTokenizer):
        raise InputError(
            "Expected a byte-pair tokenizer of keras_llm, whose merges have "
            f"ranks. Received: {type(tokenizer).__name__}."
        )
    ids = tokenizer.encode(word, disallowed_special=())
    ranks, steps = tokenizer.vocabulary.ranks, []
    data = tokenizer.decode_bytes(ids)
    cut = pre_tokenizer(tokenizer.vocabulary.rule)
    words = cut.pre_tokenize_str(data.decode("utf-8"))
    parts = [bytes([byte]) for byte in data]
    while step := _next_merge(parts, ranks):
        place, count = step
        merged = tuple(parts[place : place + count])
        start = sum(map(len, parts[:place]))
        steps.append(Merge(ranks[b"".join(merged)], start, merged))
        parts[place : place + count] = [steps[-1].token]
    if len(words) != 1 or [ranks[part] for part in parts] != ids:
        raise InputError(
            "Expected one word, which the tokenizer does not cut before it "
            f"merges. Received: {clean(word)!r}. Pass one word of it, with "
            "the space before it where there is one."
        )
    return steps, parts


def _next_merge(parts: list[bytes], ranks: Any) -> tuple[int, int] | None:
    """Which part is the first of the next merge, and how many join."""
    pairs = [
        (ranks[left + right], place)
        for place, (left, right) in enumerate(itertools.pairwise(parts))
        if left + right in ranks
    ]
    if pairs:
        return min(pairs)[1], 2
    if len(parts) > 1 and b"".join(parts) in ranks:
        return 0, len(parts)  # a word that is a token, merges or not
    return None


def _starts(parts: Any) -> dict[int, bytes]:
    """Where each part begins."""
    found, start = {}, 0
    for part in parts:
        found[start] = part
        start += len(part)
    return found


def _title(data: bytes, merges: int, tokens: int) -> str:
    counts = {"byte": len(data), "merge": merges, "token": tokens}
    words = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items()]
    return f"{drawable(bytes_label(data))}: {', '.join(words)}"


def _draw_branch(axes: Any, child: tuple, parent: tuple) -> None:
    (x, y, _), (middle, height, _) = child, parent
    axes.plot([x, x, middle], [y, height, height], color="#888888", zorder=1)


def _draw_node(
    axes: Any, node: tuple, number: int, token: bytes | None
) -> None:
    """A token in a box, its id beside it."""
    x, y, data = node
    face = _TOKEN if data == token else _LEAF
    axes.text(
        *(x, y, drawable(bytes_label(data))),
        family="monospace",
        fontsize=10,
        ha="center",
        va="center",
        bbox={"facecolor": face, "edgecolor": "#888888", "pad": 2.5},
    )
    if len(data) > 1 or data == token:
        axes.annotate(
            str(number),
            *((x, y), (0, -12)),
            textcoords="offset points",
            fontsize=6.5,
            color="#444444",
            ha="center",
            va="center",
            bbox={"facecolor": "white", "lw": 0, "pad": 0.5},
        )
