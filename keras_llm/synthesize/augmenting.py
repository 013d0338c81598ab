"""augment: noisy copies of labelled texts, for training rows only."""

import dataclasses
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_llm.errors import InputError, check_choice
from keras_llm.synthesize.noises import NOISES, USUAL, WITH_SYNONYMS, Noise
from keras_llm.tune.examples import Labelled

TRIES = 8  # of other noises, until a copy is new


def augment(
    rows: Sequence[Labelled],
    copies: int = 1,
    noises: Sequence[str] = USUAL,
    strength: float = 0.1,
    seed: int = 0,
    synonyms: Mapping[str, Sequence[str]] | None = None,
    held_out: Sequence[Labelled] = (),
) -> list[Labelled]:
    """Returns labelled texts with noisy copies of each, for small sets.

    Each copy has one noise; which one and where is decided by the seed, the
    text and the number of the copy: not by other rows or their order. A copy
    that equals a text that is there already is drawn again, and left out if
    that does not help, for example of a single word.

    Rows to measure on must not be augmented, nor be copies of training rows:
    split first, augment the training side, and pass the other as `held_out`.

    Args:
        rows: Training rows. Labels and second texts stay as they are.
        copies: Noisy copies of each row, at least 0.
        noises: Names of `NOISES`. "replace" and "insert" need synonyms.
        strength: Share of words, or letters, that are changed; at least one.
        seed: Another one gives other copies.
        synonyms: Word -> words that may stand for it, in lower case.
        held_out: Rows to measure on; none may be among `rows`.

    Returns:
        The rows, then their copies.

    Raises:
        InputError: A noise is unknown or lacks its synonyms, a number is out
            of range, or a held-out row is among the rows.

    Source: EDA, Wei and Zou 2019, https://aclanthology.org/D19-1670 (with a
    strength of 0.1, and more copies the fewer rows there are), and AEDA,
    Karimi et al. 2021, https://arxiv.org/abs/2108.13230.

    Example:

    >>> rows = [Labelled("Free entry now", ("spam",))]
    >>> [(row.text, row.labels) for row in augment(rows, noises=["swap"])]
    [('Free entry now', ('spam',)), ('Free now entry', ('spam',))]
    """
    synonyms = synonyms or {}
    _check(copies, noises, strength, synonyms)
    known = {_key(row) for row in held_out}
    check_apart(rows, held_out)
    known |= {_key(row) for row in rows}
    made = []
    for row in rows:
        for copy in range(copies):
            new = _copy(row, copy, noises, strength, seed, synonyms, known)
            if new is not None:
                known.add(_key(new))
                made.append(new)
    return [*rows, *made]


def check_apart(rows: Sequence[Labelled], held_out: Sequence[Labelled]) -> None:
    """Refuses training rows that are held out.

    Raises:
        InputError: A text is on both sides.

    Example:

    >>> check_apart([Labelled("a", ("x",))], [Labelled("b", ("x",))])
    """
    known = {_key(row) for row in held_out}
    both = [row for row in rows if _key(row) in known]
    if both:
        raise InputError(
            "Expected training rows, none of them held out. Received: "
            f"{len(both)} that are, such as {both[0].text!r:.60}. Augment "
            "after the split, and the training side only."
        )


def read_synonyms(path: str | os.PathLike) -> dict[str, list[str]]:
    """Reads synonyms: words of like meaning on a line, with commas between.

    Each word of a line may stand for each other one.

    Args:
        path: A UTF-8 file; `#` begins a comment.

    Raises:
        InputError: It cannot be read, or a line has fewer than two words.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "synonyms.txt"
    >>> _ = path.write_text("big, large\\n")
    >>> read_synonyms(path)
    {'big': ['large'], 'large': ['big']}
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected a UTF-8 file of synonyms. Received: {path}, which "
            f"cannot be read ({error})."
        ) from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        words = [one.strip().lower() for one in line.split("#")[0].split(",")]
        words = [word for word in words if word]
        if len(words) == 1:
            raise InputError(
                "Expected words of like meaning with commas between. "
                f"Received: {line!r:.60} in {path}, line {number}."
            )
        for word in words:
            others = [one for one in words if one != word]
            found[word] = [*dict.fromkeys([*found.get(word, []), *others])]
    return found


def _copy(
    row: Labelled,
    copy: int,
    noises: Sequence[str],
    strength: float,
    seed: int,
    synonyms: Mapping[str, Sequence[str]],
    known: set[tuple[str, str | None]],
) -> Labelled | None:
    """A copy that is not known yet, if one is found."""
    chance = random.Random(repr((seed, copy, row.text, row.text_pair)))
    for _ in range(TRIES):
        name = chance.choice(noises)
        text = NOISES[name](row.text, Noise(chance, strength, synonyms))
        where = f"{row.where}, {name}"
        new = dataclasses.replace(row, text=text, where=where)
        if text.strip() and _key(new) not in known:
            return new
    return None


def _key(row: Labelled) -> tuple[str, str | None]:
    """What makes a text the same as another: words, not white space."""
    return " ".join(row.text.split()), row.text_pair


def _check(
    copies: int,
    noises: Sequence[str],
    strength: float,
    synonyms: Mapping[str, Sequence[str]],
) -> None:
    if copies < 0 or not 0 < strength <= 1:
        raise InputError(
            "Expected copies of at least 0 and a strength above 0 and at most "
            f"1. Received: {copies} and {strength}."
        )
    if isinstance(noises, str) or not noises:
        raise InputError(
            f"Expected a list of noises. Received: {noises!r}. Write one name "
            "as a list, too."
        )
    for name in noises:
        check_choice("noises", name, tuple(NOISES))
        if name in WITH_SYNONYMS and not synonyms:
            raise InputError(
                f"Expected synonyms for the noise {name}. Received: none. "
                "Pass synonyms=, for example from `read_synonyms`."
            )
