"""Which documents are held out: a function of their text alone."""

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator

from keras_llm.data.document import Document
from keras_llm.errors import InputError

SEEDS = 2**32


def hold_out(
    documents: Iterable[Document], fraction: float = 0.02, seed: int = 0
) -> Iterator[tuple[str, Document]]:
    """Yields each document with its side: "train" or "heldout".

    The side depends on the text (`content_key`), `fraction` and `seed` only: it
    stays the same whatever the order or the rest of the corpus, exact
    duplicates never straddle, and growing `fraction` only moves documents
    from "train" to "heldout".

    Args:
        documents: Any iterable.
        fraction: Expected share of documents held out, 0 <= fraction < 1.
        seed: Another seed holds out other documents.

    Raises:
        InputError: `fraction` is outside [0, 1), or `seed` outside 32 bits.

    Example:

    >>> documents = [Document(str(number), "a") for number in range(1000)]
    >>> sides = [side for side, _ in hold_out(documents, fraction=0.1)]
    >>> 70 < sides.count("heldout") < 130
    True
    """
    check_hold_out(fraction, seed)
    return (
        (
            "heldout" if hold_out_rank(doc.text, seed) < fraction else "train",
            doc,
        )
        for doc in documents
    )


def check_hold_out(fraction: float, seed: int) -> None:
    """Refuses a held-out share that leaves nothing to train on, and a seed
    out of range."""
    if not 0 <= fraction < 1:
        raise InputError(
            "Expected a held-out fraction from 0 up to, but not including, 1. "
            f"Received: {fraction}. 0.02 holds out one document in fifty."
        )
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Refuses a seed that would silently be cut to 32 bits.

    Example:

    >>> check_seed(42)
    """
    if not 0 <= seed < SEEDS:
        raise InputError(
            f"Expected a seed from 0 to {SEEDS - 1}. Received: {seed}."
        )


def hold_out_rank(text: str, seed: int) -> float:
    """Returns the place in [0, 1) of a text: those below `fraction` are held
    out.

    Example:

    >>> hold_out_rank("a  b", 0) == hold_out_rank("a b ", 0)
    True
    """
    digest = hashlib.blake2b(
        content_key(text), digest_size=8, salt=seed.to_bytes(8, "big")
    ).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def content_key(text: str) -> bytes:
    """Returns 16 bytes that are equal for texts that differ only in white
    space or in Unicode composition.

    Example:

    >>> content_key("e\\u0301  b ") == content_key("é b")
    True
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = " ".join(text.split())
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
