"""What curation did: how many documents each step left, and why."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_llm.data.curate import FORMAT, REPORT
from keras_llm.errors import InputError
from keras_llm.evaluate.corpus.pictures import bars
from keras_llm.evaluate.finding import (
    Block,
    Measure,
    Table,
    Title,
    Words,
)
from keras_llm.files import read_json

REASONS = 20


@dataclasses.dataclass(frozen=True)
class CurationFunnel:
    """What each step of a curation took in and let through.

    Attributes:
        steps: As in `curate.json`, in order: `step`, `settings`,
            `documents_in`, `documents_out`, `bytes_in`, `bytes_out`,
            `dropped` and `changed` by reason, `found` by kind.
        train: `documents`, `bytes` and `sha256` of the training side.
        heldout: The same of the held-out side, None without one.
        hold_out: `fraction` and `seed` of the split.
        title: Of the section.

    Example:

    >>> step = {"step": "exact_duplicates", "documents_in": 10,
    ...     "documents_out": 8, "bytes_in": 100, "bytes_out": 80,
    ...     "dropped": {"same text": 2}, "changed": {}}
    >>> CurationFunnel([step], {"documents": 8}).drops()[0]["share"]
    0.2
    """

    steps: Sequence[Mapping[str, Any]]
    train: Mapping[str, Any]
    heldout: Mapping[str, Any] | None = None
    hold_out: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    title: str = "What curation did"

    def drops(self) -> list[dict[str, Any]]:
        """Returns step, reason, documents and their share of those that came
        to the step, the most first."""
        rows = [
            {
                "step": step["step"],
                "reason": reason,
                "documents": count,
                "share": count / max(_came(step), 1),
            }
            for step in self.steps
            for reason, count in step["dropped"].items()
        ]
        return sorted(rows, key=lambda row: -row["documents"])

    def found(self, kind: str) -> Mapping[str, int]:
        """Returns what a step counted in texts, by kind; nothing if it did
        not run.

        Example:

        >>> CurationFunnel([], {}).found("privacy")
        {}
        """
        mine = [one for one in self.steps if one["step"] == kind]
        return mine[-1].get("found", {}) if mine else {}

    def measures(self) -> dict[str, Measure]:
        """Returns which share of documents and bytes was left."""
        read = [one for one in self.steps if one["step"] != "read"]
        if not read:
            return {}
        first, last = read[0], read[-1]
        return {
            f"curation/{name}_kept": Measure(
                last[f"{name}_out"] / first[f"{name}_in"],
                higher_is_better=None,
            )
            for name in ("documents", "bytes")
            if first[f"{name}_in"]
        }

    def blocks(self) -> list[Block]:
        """Returns the funnel, a table of steps and one of reasons.

        Raises:
            InputError: matplotlib is missing.
        """
        if not self.steps:
            return [Words("No step is recorded.")]
        sides = [("training", self.train), ("held out", self.heldout)]
        drops = [
            {
                **{key: row[key] for key in ("step", "reason", "documents")},
                "% of those that came": 100 * row["share"],
            }
            for row in self.drops()[:REASONS]
        ]
        changes = [
            {"step": one["step"], "change": kind, "documents": count}
            for one in self.steps
            for kind, count in one["changed"].items()
        ]
        return [
            bars(
                [one["step"] for one in self.steps],
                [one["documents_out"] for one in self.steps],
                "documents",
                "Documents that each step left.",
            ),
            bars(
                [one["step"] for one in self.steps],
                [one["bytes_out"] / 1e6 for one in self.steps],
                "megabytes",
                "Text that each step left.",
            ),
            Table([_shown(one) for one in self.steps], "Step by step."),
            *([Title("Dropped"), Table(drops)] if drops else []),
            *([Title("Changed"), Table(changes)] if changes else []),
            Table(
                [
                    {"side": name, **side}
                    for name, side in sides
                    if side is not None
                ],
                "What was written.",
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return dataclasses.asdict(self)


def read_funnel(folder: str | os.PathLike) -> CurationFunnel:
    """Reads what curation did from a corpus folder's `curate.json`.

    Raises:
        InputError: It is no folder that `curate` wrote.

    Example:

    >>> import tempfile
    >>> from keras_llm.data import Document, curate
    >>> folder = Path(tempfile.mkdtemp()) / "corpus"
    >>> texts = ["Rose. " * 50, "Thorn. " * 50, "short"]
    >>> _ = curate([Document(text, text[:4]) for text in texts], folder, 0)
    >>> funnel = read_funnel(folder)
    >>> [row["reason"] for row in funnel.drops()]
    ['shorter than 200 characters']
    """
    path = Path(folder) / REPORT
    found = read_json(path) if path.is_file() else {}
    if found.get("format") != FORMAT:
        raise InputError(
            f"Expected a folder written by curate, with {REPORT}. Received: "
            f"{folder}. Run curate first."
        )
    return CurationFunnel(
        found["steps"], found["train"], found["heldout"], found["hold_out"]
    )


def _came(step: Mapping[str, Any]) -> int:
    """Documents that came to a step; reading counts those that it gave, and
    drops files."""
    return step["documents_in"] or (
        step["documents_out"] + sum(step["dropped"].values())
    )


def _shown(step: Mapping[str, Any]) -> dict[str, Any]:
    came, left = step["bytes_in"], step["bytes_out"]
    return {
        "step": step["step"],
        "documents in": step["documents_in"] or None,
        "dropped": sum(step["dropped"].values()),
        "changed": sum(step["changed"].values()),
        "documents out": step["documents_out"],
        "bytes out": left,
        "% of bytes": 100 * left / came if came else None,
    }
