"""Findings written down: Markdown, one HTML file, JSON, pictures."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Finding, Measure
from keras_llm.evaluate.html_page import html_text
from keras_llm.evaluate.markdown_page import FIGURES, markdown_text
from keras_llm.evaluate.provenance import provenance
from keras_llm.evaluate.sections import Drawing, measures_of, sections_of
from keras_llm.files import check_new_folder, holds_only, new_folder

MARKDOWN, HTML, RESULTS = "report.md", "report.html", "results.json"
FORMAT, VERSION = "keras_llm evaluation", 1
_IS_REPORT = holds_only((MARKDOWN, HTML, RESULTS, FIGURES))


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """A report that was written.

    Attributes:
        folder: Where it is.
        measures: Of all findings, by name: what gates are checked against.
        results: The content of its `results.json`.

    Example:

    >>> EvaluationReport(Path("out"), {}, {}).html
    PosixPath('out/report.html')
    """

    folder: Path
    measures: dict[str, Measure]
    results: dict[str, Any]

    @property
    def html(self) -> Path:
        """Returns the page, one file that needs no other."""
        return self.folder / HTML

    @property
    def markdown(self) -> Path:
        """Returns the same as Markdown; its pictures are beside it."""
        return self.folder / MARKDOWN


def write_report(
    folder: str | os.PathLike,
    findings: Sequence[Finding],
    title: str = "Evaluation",
    about: str = "",
    seed: int | None = None,
    sources: Mapping[str, str | os.PathLike] | None = None,
) -> EvaluationReport:
    """Writes `report.html`, `report.md`, `results.json` and `figures/`.

    `report.html` is one file that asks for nothing else, for desktop, phone
    and print, light and dark. `results.json` has every measure and all of
    each finding; what is not finite is null there. The folder appears as a
    whole at the end; an earlier report there is replaced, other files are
    not.

    Args:
        folder: The report's own folder.
        findings: What was found, in the order of the page.
        title: Heading of the page. Default: "Evaluation".
        about: A paragraph below it, in plain words. Default: none.
        seed: The seed that all of it was drawn with, to be written down.
        sources: What was evaluated, and on what, by name: a `Path` is
            hashed (SHA-256), a string is a fingerprint already.

    Raises:
        InputError: The folder holds other files, a finding is none, two
            findings have measures of the same name, a source is not there,
            or `to_dict` has something that JSON has not.
        OSError: The disk is full; an earlier report is still there.

    Example:

    >>> import tempfile
    >>> class Size:
    ...     title = "Size"
    ...     def measures(self): return {"size/tokens": Measure(9.0)}
    ...     def blocks(self): return []
    ...     def to_dict(self): return {"tokens": 9}
    >>> report = write_report(Path(tempfile.mkdtemp()) / "report", [Size()])
    >>> sorted(file.name for file in report.folder.iterdir())
    ['report.html', 'report.md', 'results.json']
    """
    sections = sections_of(findings)
    measures = measures_of(findings)
    made = provenance(sources or {}, seed)
    results = {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "about": about,
        **made,
        "measures": {
            name: plain(one._asdict(), name) for name, one in measures.items()
        },
        "findings": [
            {"title": one.title, **plain(one.to_dict(), one.title)}
            for one in findings
        ],
    }
    facts = _facts(made)
    with new_folder(folder, _IS_REPORT) as place:
        _write(place / RESULTS, json.dumps(results, indent=2) + "\n")
        _write(place / MARKDOWN, markdown_text(title, about, sections, facts))
        page = html_text(title, about, made["date"], sections, facts)
        _write(place / HTML, page)
        for section in sections:
            for part in section.parts:
                if isinstance(part, Drawing):
                    (place / FIGURES).mkdir(exist_ok=True)
                    (place / FIGURES / part.file).write_bytes(part.png)
    return EvaluationReport(Path(folder), measures, results)


def check_report_folder(folder: str | os.PathLike) -> None:
    """Refuses a folder that `write_report` would, before an evaluation.

    Raises:
        InputError: It is a file, or holds other files than a report's.

    Example:

    >>> import tempfile
    >>> check_report_folder(Path(tempfile.mkdtemp()) / "report")
    """
    check_new_folder(folder, _IS_REPORT)


def plain(value: Any, where: str) -> Any:
    """Returns values as JSON has them: what is not finite becomes null.

    Args:
        value: Anything that `to_dict` returns; NumPy's numbers and arrays
            and paths, too.
        where: What an error calls it.

    Raises:
        InputError: It holds something else.

    Example:

    >>> plain({"a": np.float32(0.5), "b": (math.nan, 1)}, "Size")
    {'a': 0.5, 'b': [None, 1]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(one, where) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [plain(one, where) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise InputError(
        f"Expected plain values in the results of {where}. Received: "
        f"{value!r:.60}, a {type(value).__name__}. Return numbers, words, "
        "lists and dictionaries from its to_dict."
    )


def _facts(made: Mapping[str, Any]) -> dict[str, str]:
    """What the page says of how it was made."""
    named = {f"{name} (hash)": one for name, one in made["sources"].items()}
    known = {
        "date": made["date"],
        **named,
        "seed": made["seed"],
        "command": made["command"],
        "git commit": made["commit"],
        "processor": made["cpu"],
        **made["environment"],
    }
    return {
        name: str(value) for name, value in known.items() if value is not None
    }


def _write(path: Path, text: str) -> None:
    """A model's broken letters must not stop a report: lone surrogates are
    replaced."""
    path.write_text(text, encoding="utf-8", errors="replace")
