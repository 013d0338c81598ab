"""A judge's replies on the disk, so that none is asked for twice."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.files import write_text

_APART = ("key", "judge", "question")  # of a line, what is not held in memory


class JudgeLog:
    """JSON Lines of questions and replies, one written as soon as it is there.

    A reply is found again by the judge and the whole question, so another
    rubric or another answer is another question. A last line that a kill cut
    short is removed when the file is opened.

    Args:
        path: The file; made when the first reply comes. None keeps nothing.

    Raises:
        InputError: A line is no reply of a judge.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "judge.jsonl"
    >>> JudgeLog(path).add("me", "Which?", "[[A]]", item=3)
    >>> JudgeLog(path).reply("me", "Which?")
    '[[A]]'
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self._path = None if path is None else Path(path)
        self._lines: dict[str, dict[str, Any]] = {}  # without questions
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def reply(self, judge: str, question: str) -> str | None:
        """Returns the reply that is known, or None."""
        line = self.fields(judge, question)
        return None if line is None else line["reply"]

    def fields(self, judge: str, question: str) -> Mapping[str, Any] | None:
        """Returns the reply that is known with all that was kept beside it.

        Example:

        >>> log = JudgeLog()
        >>> log.add("me", "Which?", "[[A]]", item=3)
        >>> log.fields("me", "Which?")
        {'item': 3, 'reply': '[[A]]'}
        """
        return self._lines.get(_key(judge, question))

    def add(self, judge: str, question: str, reply: str, **about: Any) -> None:
        """Keeps a reply, on the disk before this returns.

        Args:
            judge: What tells it from other judges.
            question: As it was asked.
            reply: As it came.
            **about: More fields of the line, for whoever reads the file.
        """
        key = _key(judge, question)
        self._lines[key] = {**about, "reply": reply}
        if self._path is None:
            return
        line = {"key": key, "judge": judge, **about}
        line |= {"question": question, "reply": reply}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _read(self, path: Path) -> None:
        whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
        if torn:
            write_text(path, f"{whole}\n" if whole else "")
        lines = whole.split("\n") if whole else []
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                key, reply = fields["key"], fields["reply"]
                kept = {k: v for k, v in fields.items() if k not in _APART}
                self._lines[key] = {**kept, "reply": reply}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"Expected a model's reply in {path}, line {number}. "
                    f"Received: {line:.60}. Name another file for the log."
                ) from error


def _key(judge: str, question: str) -> str:
    both = json.dumps([judge, question]).encode()
    return hashlib.sha256(both).hexdigest()[:32]
