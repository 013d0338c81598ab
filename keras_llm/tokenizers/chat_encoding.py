"""From the pieces of a conversation to ids and the loss mask."""

import functools
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A part of a conversation.

    Attributes:
        text: Its text; special tokens are spelled out.
        learned: Whether the model has to write it.
        spelled: The special tokens that it may spell; None for all.
    """

    text: str
    learned: bool = False
    spelled: tuple[str, ...] | None = None


def encode_pieces(
    tokenizer: Any, pieces: Iterable[Piece]
) -> tuple[list[int], list[int]]:
    """Returns the ids of pieces and 1 for each that the model has to write.

    Text between two special tokens is encoded as a whole, over the borders
    of pieces. A token across the border to a learned piece is learned, and
    so is what follows up to the next special token.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> encode_pieces(tokenizer, [Piece("<|user|>"), Piece("b", True),
    ...                           Piece("<|end|>", True)])
    ([257, 98, 260], [0, 1, 1])
    """
    ids: list[int] = []
    mask: list[int] = []
    run: list[tuple[str, bool]] = []
    special = tokenizer.special_tokens

    def flush() -> None:
        for new, learned in _encode_run(tokenizer, run):
            ids.extend(new)
            mask.extend([int(learned)] * len(new))
        run.clear()

    for piece in pieces:
        for text, is_special in _split(piece, tuple(special)):
            if is_special:
                flush()
                ids.append(special[text])
                mask.append(int(piece.learned))
            else:
                run.append((text, piece.learned))
    flush()
    return ids, mask


def _split(
    piece: Piece, special: tuple[str, ...]
) -> Iterator[tuple[str, bool]]:
    """Yields the parts of a piece, and whether each is a special token."""
    known = [t for t in special if piece.spelled is None or t in piece.spelled]
    parts = _finder(tuple(known)).split(piece.text) if known else [piece.text]
    for index, part in enumerate(parts):
        if part:
            yield part, index % 2 == 1


@functools.lru_cache
def _finder(tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})")


def _encode_run(
    tokenizer: Any, run: list[tuple[str, bool]]
) -> Iterator[tuple[list[int], bool]]:
    """Yields ids of a text between special tokens, what is given first."""
    given = "".join(text for text, learned in run if not learned)
    text = "".join(text for text, _ in run)
    if not text:
        return
    ids = tokenizer.encode(text, disallowed_special=())
    if len(given) == len(text):
        yield ids, False
        return
    alone = tokenizer.encode(given, disallowed_special=()) if given else []
    border = len(os.path.commonprefix([alone, ids]))
    yield ids[:border], False
    yield ids[border:], True
