"""What `keras-llm finetune` reads besides the readers of `keras_llm.tune`."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_llm.cli.finetune_options import Options, named
from keras_llm.cli.finetune_tasks import ChatOptions
from keras_llm.files import write_text

FEW = 10  # documents of a file: below, the end of each is held out
CURATED = "curate.json"  # in a folder that `keras-llm curate` wrote


def texts_of(
    options: Options, paths: Iterable[Path], validation: Path | None = None
) -> tuple[list[str], list[str]]:
    """Returns texts to learn and texts to measure on.

    A corpus has its own held-out part. Of other texts a share is held out by
    content; of a few long ones the end of each.

    Args:
        options: `hold_out` and `seed`.
        paths: Files, folders and corpora.
        validation: Texts to measure on instead.
    """
    learned: list[str] = []
    held: list[str] = []
    share = 0.0 if validation is not None else options.hold_out
    for path in paths:
        train, rest = _of(path, share, options.seed)
        learned += train
        held += rest
    if validation is not None:
        held, _ = _of(validation, 0.0, options.seed)
    return learned, held


def some(texts: Iterable[str], characters: int) -> list[str]:
    """Returns the first texts, up to about so many characters.

    Example:

    >>> some(["abc", "def", "ghi"], 4)
    ['abc', 'def']
    """
    found: list[str] = []
    for text in texts:
        if sum(map(len, found)) >= characters:
            break
        found.append(text)
    return found


def instructions(options: ChatOptions, path: Path) -> Iterator[Any]:
    """Yields the conversations of a file of a task's records.

    Args:
        options: `task`, `field`, `same` and `answer`.
        path: JSON Lines or a JSON list.
    """
    from keras_llm.tune import as_instructions
    from keras_llm.tune.entries import read_entries

    return as_instructions(
        str(options.task),
        read_entries(path),
        named("--field", options.field),
        named("--answer", options.answer) or None,
        **named("--same", options.same),
    )


def keep_talks(path: Path, talks: Iterable[Any]) -> None:
    """Writes conversations as JSON Lines, whole or not at all."""
    lines = [
        json.dumps({"messages": talk.messages}, ensure_ascii=False) + "\n"
        for talk in talks
    ]
    write_text(path, "".join(lines))


def cut(text: str, share: float) -> tuple[str, str]:
    """Returns a text without its end, and its end, cut at a line if possible.

    Example:

    >>> cut("one\\ntwo\\nthree\\nfour\\n", 0.2)
    ('one\\ntwo\\nthree\\n', 'four\\n')
    """
    wanted = round(len(text) * (1 - share))
    place = text.rfind("\n", 0, wanted) + 1
    if place < wanted / 2:  # lines too long to be cut at
        place = wanted
    return text[:place], text[place:]


def _of(path: Path, share: float, seed: int) -> tuple[list[str], list[str]]:
    from keras_llm.data import hold_out, read_corpus, read_documents

    if (path / CURATED).is_file():
        train = [document.text for document in read_corpus(path)]
        held_out = path / "heldout.jsonl"
        if not share or not held_out.exists() or not held_out.stat().st_size:
            return train, []
        return train, [one.text for one in read_corpus(path, "heldout")]
    documents = list(read_documents(path))
    if not share:
        return [document.text for document in documents], []
    if len(documents) < FEW:
        cuts = [cut(document.text, share) for document in documents]
        return [one for one, _ in cuts], [end for _, end in cuts if end.strip()]
    placed = list(hold_out(documents, share, seed))
    return (
        [document.text for side, document in placed if side == "train"],
        [document.text for side, document in placed if side == "heldout"],
    )
