"""Where a model fails, as a section of a report."""

import dataclasses
from typing import Any

from keras_llm.evaluate.finding import (
    Block,
    Code,
    HeatMap,
    Measure,
    Picture,
    Table,
    Title,
    Words,
)
from keras_llm.evaluate.group_tests import GroupResult
from keras_llm.evaluate.grouping import EvaluatedItem
from keras_llm.evaluate.subject import ScoredTokens
from keras_llm.figures import new_figure

SURE = 0.05  # corrected p-value below which a group counts as worse
_ADVICE: dict[str, str] = {
    "length": "Add texts of {}",
    "rare words": "Add texts where {} are rare",
    "source": "Add texts from {}",
    "label": "Add examples of {}",
    "question word": "Add questions with {}",
    "meaning": "Add texts about {}",
}


@dataclasses.dataclass(frozen=True)
class ErrorReport:
    """Where a model fails: a `Finding`.

    Attributes:
        name: What its measures begin with, for example the task.
        metric: What the items' values are, for example "acc".
        higher_is_better: Of the values.
        overall: Their mean.
        groups: Every group compared with the rest, the worst first.
        worst: The worst items, the worst first.
        numbers: Which items these are.
        scores: The tokens of the worst items, where a subject was asked.

    Example:

    >>> item = EvaluatedItem("1 + 1 = 2", 0.0)
    >>> report = ErrorReport("sums", "acc", True, Measure(0.5, 0.5, 2), [],
    ...     [item], [0], [])
    >>> [row["text"] for row in report.to_dict()["worst"]]
    ['1 + 1 = 2']
    """

    name: str
    metric: str
    higher_is_better: bool
    overall: Measure
    groups: list[GroupResult]
    worst: list[EvaluatedItem]
    numbers: list[int]
    scores: list[ScoredTokens]

    @property
    def title(self) -> str:
        """The heading of its section."""
        return f"Mistakes: {self.name}"

    @property
    def worse(self) -> list[GroupResult]:
        """The groups that are worse than the rest, beyond chance."""
        return [
            group
            for group in self.groups
            if group.p_value < SURE and self._gap(group) > 0
        ]

    def measures(self) -> dict[str, Measure]:
        """Returns the mean of the worst group, and how many are worse.

        The worst of several groups looks worse than it is: its luck was bad
        too. Compare it with the same groups of another model, not with the
        mean over all items.
        """
        count = Measure(len(self.worse), None, len(self.groups), False)
        found = {f"{self.name}/worse_groups": count}
        if self.groups:
            first = self.groups[0]
            found[f"{self.name}/worst_group_{self.metric}"] = Measure(
                first.mean, first.error, first.count, self.higher_is_better
            )
        return found

    def suggestions(self) -> list[str]:
        """Returns what data to add, a sentence each, with its numbers."""
        return [self._suggestion(group) for group in self.worse]

    def blocks(self) -> list[Block]:
        """Returns what a reader sees."""
        blocks: list[Block] = [Words(self._summary())]
        blocks += map(Words, self.suggestions())
        if self.groups:
            caption = "Groups against all other items, the worst first."
            blocks += [Table(self._rows(), caption), self._picture()]
        return [*blocks, Title("Worst items"), *self._worst_blocks()]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return {
            "name": self.name,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "overall": self.overall._asdict(),
            "groups": [
                {**group._asdict(), "interval": list(group.interval)}
                for group in self.groups
            ],
            "suggestions": self.suggestions(),
            "worst": [
                {"item": number, **item._asdict()}
                for number, item in zip(self.numbers, self.worst, strict=True)
            ],
        }

    def _gap(self, group: GroupResult) -> float:
        """How much worse a group is than the rest."""
        worse = -1 if self.higher_is_better else 1
        return worse * group.difference

    def _summary(self) -> str:
        count, mean = self.overall.count, self.overall.value
        beginning = f"{self.metric} is {mean:.3f} on {count:,} items. "
        if not self.groups:
            return beginning + (
                "No group was large enough to be compared with the rest."
            )
        worse = len(self.worse)
        found = f"{worse or 'None'} of {len(self.groups)} groups "
        found += "is shown to be worse" if worse < 2 else "are worse"
        return f"{beginning}{found} than the rest (p < {SURE:g} after Holm)."

    def _suggestion(self, group: GroupResult) -> str:
        general = f"Add items whose {group.trait} is {{}}"
        advice = _ADVICE.get(group.trait, general).format(group.name)
        if group.such_as:
            advice += f" (such as {', '.join(group.such_as)})"
        ends = sorted(abs(end) for end in group.interval)
        return (
            f"{advice}: {self.metric} is {group.mean:.3f} on these "
            f"{group.count:,} items and {group.rest:.3f} on the others, "
            f"{self._gap(group):.3f} worse (95 %: {ends[0]:.3f} to "
            f"{ends[1]:.3f}; p = {group.p_value:.2g} after Holm)."
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "trait": group.trait,
                "group": group.name,
                "items": group.count,
                self.metric: Measure(group.mean, group.error, group.count),
                "rest": group.rest,
                "difference": group.difference,
                "from": group.interval.low,
                "to": group.interval.high,
                "p (Holm)": group.p_value,
            }
            for group in self.groups
        ]

    def _picture(self) -> Picture:
        groups = self.groups[:20][::-1]
        figure = new_figure(8.0, 1.2 + 0.3 * len(groups))
        axes = figure.subplots()
        axes.errorbar(
            [group.mean for group in groups],
            [f"{group.trait}: {group.name}" for group in groups],
            xerr=[1.96 * group.error for group in groups],
            fmt="o",
            capsize=3,
        )
        axes.axvline(self.overall.value, linestyle="--", color="gray")
        axes.set(xlabel=self.metric)
        axes.grid(alpha=0.3)
        return Picture(
            figure,
            f"{self.metric} of the worst groups of {self.name} with 95 % "
            "intervals; the dashed line is the mean of all items.",
        )

    def _worst_blocks(self) -> list[Block]:
        blocks: list[Block] = []
        for place, item in enumerate(self.worst):
            blocks.append(Words(self._header(self.numbers[place], item)))
            if self.scores:
                tokens, found = self.scores[place]
                caption = (
                    f"Item {self.numbers[place]}: loss of each token, nats."
                )
                blocks.append(HeatMap(tokens, (-found).tolist(), caption))
            else:
                blocks.append(Code(item.text))
        return blocks

    def _header(self, number: int, item: EvaluatedItem) -> str:
        facts = {
            self.metric: f"{item.value:g}",
            "loss": None if item.loss is None else f"{item.loss:.2f} nats",
            "source": item.source,
            "expected": item.label,
            "answer": item.answer,
        }
        said = [f"{name} {fact}" for name, fact in facts.items() if fact]
        return f"Item {number}: {', '.join(said)}."
