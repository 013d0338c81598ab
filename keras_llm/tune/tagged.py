"""Sentences with a tag for each word: CoNLL files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from keras_llm.data.document import whole
from keras_llm.data.reading.lines import text_lines
from keras_llm.errors import InputError
from keras_llm.tune.entries import checked_file, not_empty
from keras_llm.tune.examples import Tagged

START = "-DOCSTART-"
_TAG = re.compile(r"O|[BIES]-\S+")


def read_tagged(
    path: str | os.PathLike, encoding: str = "utf-8"
) -> Iterator[Tagged]:
    """Reads sentences of a CoNLL file: a word and its tag on each line.

    The first column is the word, the last one the tag; they are cut at tabs,
    or at spaces where a line has no tab. A blank line ends a sentence.
    "-DOCSTART-" lines are left out.

    Args:
        path: The file, gzipped (.gz) or not.
        encoding: Its encoding.

    Returns:
        An iterator, which reads the file as it goes.

    Raises:
        InputError: At once for a missing file; while reading, with file and
            line: a word without a tag, a tag that is neither "O" nor "B-" or
            "I-" (or "E-", "S-") before a kind, broken text, an empty file.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.conll"
    >>> _ = path.write_text("in\\tO\\nRome\\tB-location\\n\\nHi\\tO\\n")
    >>> [sentence.words for sentence in read_tagged(path)]
    [('in', 'Rome'), ('Hi',)]
    """
    path = checked_file(path)
    return not_empty(_sentences(path, encoding), path)


def _sentences(path: Path, encoding: str) -> Iterator[Tagged]:
    words: list[str] = []
    tags: list[str] = []
    first = number = 0
    for number, line in text_lines(path, encoding):
        if line.strip():
            word, tag = _word_and_tag(line, f"{path}, line {number}")
            if word != START:
                words.append(word)
                tags.append(tag)
        if words and not line.strip():
            yield _sentence(words, tags, first, path)
            words, tags = [], []
        first = number - len(words) + 1
    if words:
        yield _sentence(words, tags, first, path)


def _sentence(
    words: list[str], tags: list[str], line: int, path: Path
) -> Tagged:
    where = f"{path}, line {line}"
    return Tagged(tuple(words), tuple(tags), line, where)


def _word_and_tag(line: str, where: str) -> tuple[str, str]:
    line = whole(line.strip("\r\n"))
    cells = line.split("\t") if "\t" in line else line.split()
    word, tag = cells[0].strip(), cells[-1].strip()
    if len(cells) < 2 or not word or not tag:
        raise InputError(
            "Expected a word and its tag, with a tab or a space between "
            f"them. Received: {line!r:.60} in {where}. Add the tag (O for "
            "none)."
        )
    if word != START and not _TAG.fullmatch(tag):
        raise InputError(
            'Expected a tag "O", or "B-" or "I-" before the kind of span. '
            f"Received: {tag!r:.40} in {where}. Correct it."
        )
    return word, tag
