"""Grades that a judge gave to answers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_llm.compare.pairs import (
    Difference,
    ItemScores,
    compare_pairs,
    mean_measure,
)
from keras_llm.compare.verdicts import HIGHEST, LOWEST, read_grade
from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Block, Code, Measure, Table, Title, Words

SHOWN = 3  # replies that could not be read


@dataclasses.dataclass(frozen=True)
class GradeReport:
    """Grades from 1 to 10, by model: a `Finding`.

    Attributes:
        name: What its measures begin with.
        judge: The judge's name.
        replies: By model, in the order of the prompts.
        seed: Of the bootstrap.

    Example:

    >>> report = GradeReport("grade", "me", {"a": ["[[4]]", "[[6]]", "Hm."]})
    >>> report.grades("a").tolist()
    [4.0, 6.0, nan]
    """

    name: str
    judge: str
    replies: Mapping[str, Sequence[str]]
    seed: int = 0

    @property
    def title(self) -> str:
        """The heading of its section."""
        return f"Graded by {self.judge}"

    def grades(self, model: str) -> np.ndarray:
        """Returns a model's grades `(prompts,)`; NaN where none was read.

        Raises:
            InputError: There is no such model.
        """
        if model not in self.replies:
            raise InputError(
                f"Expected one of {', '.join(self.replies)}. Received: "
                f"{model!r}."
            )
        read = [read_grade(reply) for reply in self.replies[model]]
        return np.array([np.nan if one is None else one for one in read])

    def measures(self) -> dict[str, Measure]:
        """Returns each model's mean grade, and the share of no grade.

        A model without a single readable grade has no mean.
        """
        found = {
            f"{self.name}/{model}": mean_measure(grades)
            for model in self.replies
            for grades in [self._readable(model)]
            if len(grades)
        }
        dark = np.isnan(self._table())
        return found | {
            f"{self.name}/unreadable": mean_measure(dark.ravel(), False)
        }

    def differences(self) -> list[Difference]:
        """Returns who is better, on the prompts where all have a grade."""
        table = self._table()
        table = table[:, ~np.isnan(table).any(axis=0)]
        if not table.size:
            return []
        values = dict(zip(self.replies, table, strict=True))
        return compare_pairs({"grade": ItemScores(values)}, seed=self.seed)

    def blocks(self) -> list[Block]:
        """Returns what a reader sees."""
        dark = int(np.isnan(self._table()).sum())
        blocks: list[Block] = [
            Words(
                f"{self.judge} graded each answer alone, from {LOWEST} to "
                f"{HIGHEST}. {dark:,} replies had no grade that could be read "
                "and are left out."
            )
        ]
        blocks += [Words(str(one)) for one in self.differences()]
        blocks.append(Table(self._rows(), "Mean grades, and how many of each."))
        return [*blocks, *self._unreadable_blocks()]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return {
            "name": self.name,
            "judge": self.judge,
            "replies": {name: list(r) for name, r in self.replies.items()},
            "measures": {n: m._asdict() for n, m in self.measures().items()},
        }

    def _table(self) -> np.ndarray:
        """Grades `(models, prompts)`."""
        return np.stack([self.grades(model) for model in self.replies])

    def _readable(self, model: str) -> np.ndarray:
        grades = self.grades(model)
        return grades[~np.isnan(grades)]

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for model in self.replies:
            grades = self._readable(model)
            counts = {
                str(grade): int((np.floor(grades) == grade).sum())
                for grade in range(LOWEST, HIGHEST + 1)
            }
            mean = mean_measure(grades) if len(grades) else None
            dark = len(self.replies[model]) - len(grades)
            rows.append(
                {"model": model, "grade": mean, **counts, "unreadable": dark}
            )
        return rows

    def _unreadable_blocks(self) -> list[Block]:
        dark = [
            (model, number, reply)
            for model, replies in self.replies.items()
            for number, reply in enumerate(replies)
            if read_grade(reply) is None
        ]
        blocks: list[Block] = [Title("Unreadable replies")] if dark else []
        for model, number, reply in dark[:SHOWN]:
            blocks += [Words(f"Prompt {number}, {model}:"), Code(reply)]
        return blocks
