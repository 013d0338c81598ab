"""Tokens as `keras-llm data` shows them."""

from pathlib import Path
from typing import Any


class Speller:
    r"""Spells ids; without a tokenizer, by their numbers.

    Spaces stay: colours show where a token begins and ends. What cannot be
    seen is escaped, bytes of half a character too.

    Args:
        tokenizer: One of `keras_llm.tokenizers`, or None.
        ends: Ids that begin and end documents; they are special in any case.

    Example:

    >>> from keras_llm.tokenizers import HostTokenizer
    >>> speller = Speller(HostTokenizer.train(["a rose"], 261))
    >>> [speller.text(number) for number in (97, 10, 195, 260)]
    ['a', '⏎', '\\xc3', '<|end|>']
    >>> speller.special(97), speller.special(260)
    (False, True)
    """

    def __init__(self, tokenizer: Any, *ends: int | None):
        self._tokenizer = tokenizer
        named = {} if tokenizer is None else tokenizer.special_tokens
        self._special = {number: text for text, number in named.items()}
        self._ends = ends

    def text(self, number: int) -> str:
        """Returns what is shown for an id."""
        if number in self._special:
            return self._special[number]
        if self._tokenizer is None or not self._tokenizer.has_token(number):
            return str(number)
        data = self._tokenizer.token_bytes(number)
        text = data.decode("utf-8", errors="backslashreplace")
        return "".join(map(_visible, text)) or str(number)

    def special(self, number: int) -> bool:
        """Says whether no text becomes this token."""
        return number in self._special or number in self._ends


def speller_of(rows: Any, path: Path | None) -> Speller:
    """Returns what spells the ids of packed rows.

    Args:
        rows: From `open_rows`.
        path: Their tokenizer; None if it is not at hand.

    Raises:
        InputError: It is another than the one that packed them.
    """
    from keras_llm.tokenizers import load_host

    ends = rows.manifest.bos_id, rows.manifest.eos_id
    if path is None:
        return Speller(None, *ends)
    tokenizer = load_host(path)
    rows.require(tokenizer)
    return Speller(tokenizer, *ends)


def _visible(character: str) -> str:
    """Returns a character, or how it is written where it has no form."""
    if character == "\n":
        return "⏎"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
