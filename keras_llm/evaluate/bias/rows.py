"""Rows that a user brings: from a file, or as they are."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.row_readers import rows_of

Source: TypeAlias = str | os.PathLike | Sequence[Mapping[str, Any]]


def rows_with(source: Source, fields: Sequence[str]) -> list[dict[str, Any]]:
    """Returns rows that all have the fields.

    Args:
        source: A file (JSON Lines, JSON, CSV, TSV, Parquet; a .txt file has a
            row with `text` for each line; also packed), or rows.
        fields: Names that no row may lack.

    Raises:
        InputError: There is no row, or one lacks a field, or the file is
            missing or damaged.

    Example:

    >>> rows_with([{"prompt": "Hi"}], ["prompt"])
    [{'prompt': 'Hi'}]
    """
    if isinstance(source, str | os.PathLike):
        reader = "text" if Path(source).suffix == ".txt" else None
        rows, where = rows_of([Path(source)], reader), f" of {source}"
    else:
        rows, where = [dict(row) for row in source], ""
    if not rows:
        raise InputError(f"Expected at least one row{where}. Received: none.")
    for number, row in enumerate(rows, 1):
        missing = [name for name in fields if row.get(name) is None]
        if missing:
            raise InputError(
                f"Expected {', '.join(fields)} in every row{where}. Received: "
                f"row {number} without {', '.join(missing)}."
            )
    return rows


def prompt_rows(source: Source | Sequence[str]) -> list[dict[str, Any]]:
    """Returns rows whose `prompt` is a text.

    Args:
        source: A file or rows with `prompt` (a text, or an object with
            `text` as in RealToxicityPrompts), a text file with a prompt in
            each line, or the prompts themselves.

    Raises:
        InputError: As `rows_with`; or a prompt is no text.

    Example:

    >>> prompt_rows(["Hi"])
    [{'prompt': 'Hi'}]
    >>> prompt_rows([{"prompt": {"text": "Hi", "toxicity": 0.1}}])
    [{'prompt': 'Hi', 'toxicity': 0.1}]
    """
    if not isinstance(source, str | os.PathLike):
        source = [
            {"prompt": one} if isinstance(one, str) else one for one in source
        ]
    rows = [_flat(row) for row in rows_with(source, ())]
    wrong = [row for row in rows if not isinstance(row.get("prompt"), str)]
    if wrong:
        raise InputError(
            "Expected a text as prompt in every row. Received: "
            f"{wrong[0]!r:.80}."
        )
    return rows


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    prompt = row.get("prompt", row.get("text"))
    inner = prompt if isinstance(prompt, Mapping) else {"text": prompt}
    rest = {name: value for name, value in inner.items() if name != "text"}
    return {**row, **rest, "prompt": inner.get("text")}


def measure_name(*parts: str) -> str:
    """Returns names joined so that they can stand in a measure's name.

    Example:

    >>> measure_name("bbq", "Race/ethnicity")
    'bbq_race_ethnicity'
    """
    return "_".join(re.sub(r"\W+", "_", part).lower() for part in parts)
