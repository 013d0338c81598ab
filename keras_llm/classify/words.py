"""Words to tokens, and which token of a word carries its label.

Each word is encoded alone, with the space before it, as it stands in running
text: so it is known whose tokens are whose, whatever the tokenizer.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.classify.settings import LAST, TaggerSettings
from keras_llm.errors import InputError

CONTEXT_SHARE = 4  # a window begins with up to a quarter of the one before
NO_TOKENS = "?"  # for a word that a tokenizer normalizes to nothing


class Window(NamedTuple):
    """A sentence, or as much of it as fits.

    Attributes:
        ids: int32 `(tokens,)`.
        words: int64 `(tokens,)`: the word whose label stands at this token,
            -1 for none.

    Example: see `windows_of`.
    """

    ids: np.ndarray
    words: np.ndarray


def windows_of(
    words: Sequence[str], tokenizer: Any, settings: TaggerSettings
) -> list[Window]:
    """Returns a sentence's tokens, in windows if they are too many.

    A later window begins with the last words of the one before, up to a
    quarter, which it reads but does not label: each word is labelled once.

    Args:
        words: The words.
        tokenizer: The model's tokenizer.
        settings: Of the tagger.

    Raises:
        InputError: A word is empty or no string.

    Example:

    >>> from keras_llm.classify.settings import Ids
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> settings = TaggerSettings(labels=("B-x", "O"), ids=Ids(length=8))
    >>> [window] = windows_of(["ab", "c"], tokenizer, settings)
    >>> window.ids.tolist(), window.words.tolist()
    ([97, 98, 32, 99], [0, -1, 1, -1])
    """
    room = settings.ids.room // (2 if settings.echo else 1)
    pieces = _pieces(words, tokenizer, room)
    made, begin = [], 0
    while begin < len(pieces):
        first = _first(pieces, begin, room)
        end, used = first, 0
        while end < len(pieces) and used + len(pieces[end]) <= room:
            used += len(pieces[end])
            end += 1
        made.append(_window(pieces, first, begin, end, settings))
        begin = end
    return made


def _pieces(words: Sequence[str], tokenizer: Any, room: int) -> list[list[int]]:
    """The ids of each word; of one that is longer than a window the first."""
    made = []
    for number, word in enumerate(words):
        if not isinstance(word, str) or not word.strip():
            raise InputError(
                "Expected words that are not empty. Received: "
                f"{word!r:.40} as word {number + 1}."
            )
        text = f" {word}" if number else word
        ids = tokenizer.encode_part(text, first=not number)
        ids = ids or tokenizer.encode_part(NO_TOKENS, first=not number)
        made.append(ids[:room])
    return made


def _first(pieces: list[list[int]], begin: int, room: int) -> int:
    """The first word to read, so that `begin` still fits."""
    spare = min(room // CONTEXT_SHARE, room - len(pieces[begin]))
    first = begin
    while first and spare >= len(pieces[first - 1]):
        first -= 1
        spare -= len(pieces[first])
    return first


def _window(
    pieces: list[list[int]],
    first: int,
    begin: int,
    end: int,
    settings: TaggerSettings,
) -> Window:
    start = [] if settings.ids.start is None else [settings.ids.start]
    read = [i for ids in pieces[first:end] for i in ids]
    before = len(start) + (len(read) if settings.echo else 0)
    ids = [*start, *(read if settings.echo else ()), *read]
    owners = np.full(len(ids), -1, np.int64)
    place = before
    for word in range(first, end):
        last = place + len(pieces[word]) - 1
        if word >= begin:
            owners[last if settings.place == LAST else place] = word
        place = last + 1
    return Window(np.array(ids, np.int32), owners)
