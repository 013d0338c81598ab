"""Your answers to a datasheet's questions: a YAML file, and its template."""

import dataclasses
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.corpus.questions import KEYS, QUESTIONS
from keras_llm.files import read_settings

FIELDS = {
    "name": "Name of the corpus.",
    "description": "What it is, in a sentence or two.",
    "license": "Of the whole, best as an SPDX name or an address.",
    "url": "Where it is to be found.",
    "version": "For example 1.0.0.",
    "published": "Date, for example 2026-05-31.",
    "creator": "Person or organisation.",
    "cite_as": "How it is to be cited.",
}
"""Facts about the corpus as a whole, for the datasheet and for Croissant."""

_HEAD = """\
# What only you can know about this corpus. Answer what you can, leave the rest
# empty, and run the same command again: this file is read, never overwritten.
# Longer answers: put | after the colon and indent the lines below.
"""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a person said about a corpus.

    Attributes:
        dataset: Facts by name, see `FIELDS`.
        answers: Key of a question -> Markdown.

    Example:

    >>> Answers(answers={"funding": "Nobody."}).answers["funding"]
    'Nobody.'
    """

    dataset: Mapping[str, str] = dataclasses.field(default_factory=dict)
    answers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def load_answers(path: str | os.PathLike) -> Answers:
    """Reads a file of answers; what is empty there is not answered.

    Raises:
        InputError: It cannot be read, or has a key that is no question's.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "answers.yaml"
    >>> _ = path.write_text("answers: {funding: Nobody., purpose: }")
    >>> dict(load_answers(path).answers)
    {'funding': 'Nobody.'}
    """
    if not Path(path).is_file():
        raise InputError(
            f"Expected a YAML file of answers. Received: {path}, which is "
            "none. `keras-llm describe` writes one to fill in."
        )
    found = read_settings(path)
    _check(found, ("dataset", "answers"), path)
    return Answers(
        _texts(found.get("dataset"), tuple(FIELDS), path),
        _texts(found.get("answers"), KEYS, path),
    )


def answers_template(name: str) -> str:
    """Returns a file of answers to fill in.

    Args:
        name: Of the corpus.

    Example:

    >>> print(answers_template("rose").splitlines()[5])
      name: rose
    """
    lines = [_HEAD, "dataset:"]
    for field, said in FIELDS.items():
        value = f" {name}" if field == "name" else ""
        lines += [f"  # {said}"] * (field != "name") + [f"  {field}:{value}"]
    lines += ["", "answers:"]
    for section, asked in QUESTIONS.items():
        lines += [f"  # {section}", ""]
        for key, question in asked.items():
            lines += [f"  # {question}", f"  {key}:", ""]
    return "\n".join(lines).rstrip() + "\n"


def _texts(
    values: Any, known: tuple[str, ...], path: str | os.PathLike
) -> dict[str, str]:
    """Returns what is not empty, as text."""
    if not isinstance(values or {}, dict):
        raise InputError(
            f"Expected answers by key in {path}. Received: {values!r:.60}."
        )
    _check(values or {}, known, path)
    return {
        key: str(value).strip()
        for key, value in (values or {}).items()
        if value is not None and str(value).strip()
    }


def _check(
    values: Mapping[str, Any], known: tuple[str, ...], path: str | os.PathLike
) -> None:
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise InputError(
                f"Expected keys of a datasheet's answers in {path}. "
                f"Received: {key}.{meant}"
            )
