"""Bytes and text: broken input, and the spelling of bytes in token files."""

import codecs
import functools
from collections.abc import Callable

from keras_llm.errors import InputError


def clean(text: str | bytes) -> str:
    r"""Returns `text` as valid Unicode; what is broken becomes U+FFFD.

    Bytes are read as UTF-8; every maximal broken piece becomes one U+FFFD
    (Unicode's recommended practice, which Python and the graph engine share).
    In a `str`, a lone surrogate becomes one U+FFFD.

    Raises:
        InputError: `text` is neither str nor bytes.

    Example:

    >>> clean(b"a\xff\xe6\x97b"), clean("\ud800")
    ('a��b', '�')
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", errors="replace")
    if not isinstance(text, str):
        raise InputError(
            "Expected a text (str or bytes) or a list of texts. Received: "
            f"{type(text).__name__}."
        )
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode(
        "utf-16-le", "replace"
    )


@functools.cache
def _spelling() -> tuple[dict[int, str], dict[str, int]]:
    """Returns GPT-2's printable character for each byte, and the inverse.

    Bytes that print as themselves in Latin-1 stay; the others take the
    characters from U+0100 on, in order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    spelled = {byte: chr(byte) for byte in printable}
    spelled |= {byte: chr(256 + i) for i, byte in enumerate(others)}
    return spelled, {character: byte for byte, character in spelled.items()}


def spell(token: bytes) -> str:
    """Returns the printable spelling of a token's bytes (GPT-2's).

    Example:

    >>> spell(b" low\\n")
    'ĠlowĊ'
    """
    spelled = _spelling()[0]
    return "".join(spelled[byte] for byte in token)


def bytes_of(spelling: str) -> bytes:
    """Returns the bytes that `spell` wrote as `spelling`.

    Raises:
        InputError: A character stands for no byte.

    Example:

    >>> bytes_of("Ġlow")
    b' low'
    """
    byte = _spelling()[1]
    try:
        return bytes(byte[character] for character in spelling)
    except KeyError as error:
        raise InputError(
            "Expected tokens in the byte-level spelling (for example 'Ġthe'). "
            f"Received: {spelling!r}, where {error} stands for no byte."
        ) from error


EACH_BYTE = "keras_llm.each_byte"
"""Name of an error handler: one U+FFFD for each broken byte, not for each
broken piece of bytes. It is how SentencePiece shows broken UTF-8."""


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(EACH_BYTE, _each_byte)


class IncrementalDecoder:
    r"""Turns ids into text piece by piece, never showing half a character.

    Example:

    >>> decoder = IncrementalDecoder([b"\xc3", b"\xa9", b"a"].__getitem__)
    >>> decoder.push(0), decoder.push(1), decoder.push(2), decoder.flush()
    ('', 'é', 'a', '')

    Args:
        token_bytes: Function from an id to its bytes, usually
            `tokenizer.token_bytes`.
        first_bytes: The same for an id with no text before it. Default:
            `token_bytes`.
        errors: How broken bytes are shown, "replace" or `EACH_BYTE`.
        waits: Whether a token without bytes leaves its successor the first.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        first_bytes: Callable[[int], bytes] | None = None,
        errors: str = "replace",
        waits: bool = False,
    ) -> None:
        """Starts with no text."""
        self._token_bytes = token_bytes
        self._first_bytes = first_bytes or token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)
        self._started, self._waits = False, waits

    def push(self, *ids: int) -> str:
        """Adds ids and returns the text that is complete now.

        Bytes that can never become a character show as U+FFFD at once.
        """
        return self._decoder.decode(b"".join(self._bytes(int(i)) for i in ids))

    def flush(self) -> str:
        """Returns what is left (U+FFFD for half a character); starts anew."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._started = False
        return text

    def _bytes(self, token_id: int) -> bytes:
        find = self._token_bytes if self._started else self._first_bytes
        data = find(token_id)
        self._started |= bool(data) or not self._waits
        return data
