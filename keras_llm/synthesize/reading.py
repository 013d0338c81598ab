"""What tasks are about: documents in parts, instructions, prompts."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_llm.data.counts import Counts
from keras_llm.data.curate import read_corpus
from keras_llm.data.document import Document
from keras_llm.data.documents import read_documents
from keras_llm.data.steps import split_long
from keras_llm.errors import InputError

if TYPE_CHECKING:
    from keras_llm.tune.examples import Conversation

_Paths = str | os.PathLike

CURATED = "curate.json"  # in a folder that `keras-llm curate` wrote
LONGEST = 4_000  # characters, about a thousand tokens of English


def document_parts(
    *paths: _Paths, longest: int = LONGEST
) -> tuple[list[Document], list[Counts]]:
    """Reads documents, long ones in parts cut at blank lines.

    Args:
        paths: As for `data.read_documents`, and folders of `data.curate`, of
            which the training side is read.
        longest: Most characters of a part.

    Returns:
        The parts, and the counts of reading and cutting.

    Raises:
        InputError: As for `data.read_documents`.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_text("One.\\n\\nTwo.")
    >>> [d.text for d in document_parts(path, longest=8)[0]]
    ['One.\\n\\n', 'Two.']
    """
    readers = [
        read_corpus(path)
        if (Path(path) / CURATED).is_file()
        else read_documents(path)
        for path in paths
    ]
    counts = Counts("split_long")
    documents = itertools.chain.from_iterable(readers)
    parts = list(split_long(longest)(documents, counts))
    return parts, [*(reader.counts for reader in readers), counts]


def instructions_of(
    *paths: _Paths,
) -> tuple[list[Document], list[Counts]]:
    """Reads instructions with responses, as `keras-llm finetune chat` does.

    What has a system message or more than one exchange is dropped and
    counted.

    Args:
        paths: Files as for `tune.read_conversations`.

    Returns:
        Documents with the instruction as text and "response" in their
        metadata, and the counts of reading.

    Raises:
        InputError: As for `tune.read_conversations`.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"instruction": "Add 1, 1.", "output": "2"}')
    >>> [d.metadata["response"] for d in instructions_of(path)[0]]
    ['2']
    """
    from keras_llm.tune.conversations import read_conversations

    talks = (talk for path in paths for talk in read_conversations(path))
    counts = Counts("read")
    return list(_single(talks, counts)), [counts]


def prompts_of(*paths: _Paths) -> tuple[list[Document], list[Counts]]:
    """Reads prompts: lines of text, or JSON Lines with "prompt".

    Args:
        paths: Files as for `feedback.texts.read_texts`.

    Returns:
        The prompts, and the counts of reading.

    Raises:
        InputError: As for `read_texts`.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_text("Why?\\nHow?\\n")
    >>> [d.text for d in prompts_of(path)[0]]
    ['Why?', 'How?']
    """
    from keras_llm.feedback.texts import read_texts

    counts = Counts("read")
    found = []
    for path in paths:
        for one in read_texts(path, "prompt"):
            counts.saw(one["prompt"])
            counts.kept(one["prompt"])
            found.append(Document(one["prompt"], str(path)))
    return found, [counts]


def checked_items(items: Iterable[Document], answers: bool) -> list[Document]:
    """Returns what a task is about.

    Args:
        items: Documents.
        answers: Whether each needs "response" in its metadata.

    Raises:
        InputError: There is none, or one lacks its response.

    Example:

    >>> checked_items([], False)
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected at least one document, ...
    """
    found = list(items)
    if not found:
        raise InputError(
            "Expected at least one document, conversation or prompt. "
            "Received: none. Name files that have some."
        )
    for item in found:
        if answers and not isinstance(item.metadata.get("response"), str):
            raise InputError(
                'Expected documents with "response" in their metadata, as '
                f"`instructions_of` reads them. Received: {item.source} "
                "without."
            )
    return found


def _single(
    talks: "Iterable[Conversation]", counts: Counts
) -> Iterator[Document]:
    for talk in talks:
        said: Sequence[dict[str, str]] = talk.messages
        text = said[0]["content"]
        counts.saw(text)
        item = Document(
            text, talk.where, metadata={"response": said[-1]["content"]}
        )
        if said[0]["role"] == "system":
            counts.drop(item, "has a system message")
        elif len(said) > 2:
            counts.drop(item, "more than one exchange")
        else:
            counts.kept(text)
            yield item
