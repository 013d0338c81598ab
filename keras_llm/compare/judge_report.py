"""What a judge found of pairs of answers, and how far to trust it."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_llm.compare.matches import (
    Match,
    Rating,
    first_place,
    longer_wins,
    points_of,
    preferences,
    ratings,
)
from keras_llm.compare.pairs import Difference, mean_measure
from keras_llm.evaluate.finding import Block, Code, Measure, Table, Title, Words

SHOWN = 3  # pairs whose replies contradict each other or cannot be read
_BEHAVIOUR = {
    "consistency": "both orders agree",
    "first_place": "the answer in the first place wins, without ties",
    "longer_wins": "the longer answer wins, ties counted half",
    "unreadable": "pairs with a reply that could not be read",
}


@dataclasses.dataclass(frozen=True)
class JudgeReport:
    """Answers of models beside each other: a `Finding`.

    Attributes:
        name: What its measures begin with.
        judge: The judge's name.
        answers: By model, in the order of the prompts.
        matches: Every pair of models on every prompt.
        seed: Of the bootstrap.

    Example:

    >>> match = Match(0, "x", "y", ("first", "first"), ("[[A]]", "[[B]]"))
    >>> JudgeReport("judge", "me", {"x": ["yes"], "y": ["no"]},
    ...     [match]).measures()["judge/win_rate"].value
    1.0
    """

    name: str
    judge: str
    answers: Mapping[str, Sequence[str]]
    matches: Sequence[Match]
    seed: int = 0

    @property
    def title(self) -> str:
        """The heading of its section."""
        return f"Judged by {self.judge}"

    def measures(self) -> dict[str, Measure]:
        """Returns the result, and how the judge behaved.

        With two models `win_rate` is the first one's, ties counted half; with
        more every model has a `rating`. What could not be measured, because
        no reply could be read, is not there.
        """
        found = self._results() | self._behaviour()
        return {
            f"{self.name}/{name}": measure
            for name, measure in found.items()
            if measure is not None
        }

    def differences(self) -> list[Difference]:
        """Returns who is preferred, pair by pair, corrected for all pairs."""
        return preferences(self.matches, list(self.answers), self.seed)

    def sentences(self) -> list[str]:
        """Returns who is preferred, a sentence for each pair."""
        return [_sentence(one) for one in self.differences()]

    def ratings(self) -> list[Rating]:
        """Returns the models from best to worst, by Bradley and Terry."""
        return ratings(self.matches, list(self.answers), self.seed)

    def blocks(self) -> list[Block]:
        """Returns what a reader sees."""
        blocks: list[Block] = [Words(self._summary())]
        blocks += map(Words, self.sentences())
        blocks.append(Table(self._pair_rows(), _PAIRS))
        if len(self.answers) > 2:
            blocks.append(Table(self._rating_rows(), _RATINGS))
        behaviour = self._behaviour()
        rows = [
            {"what": words, "share": behaviour[name]}
            for name, words in _BEHAVIOUR.items()
            if behaviour[name] is not None
        ]
        blocks.append(Table(rows, "How the judge behaved."))
        return [*blocks, *self._doubtful_blocks()]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return {
            "name": self.name,
            "judge": self.judge,
            "models": list(self.answers),
            "matches": [match._asdict() for match in self.matches],
            "measures": {n: m._asdict() for n, m in self.measures().items()},
        }

    def _results(self) -> dict[str, Measure | None]:
        if len(self.answers) == 2:
            points = points_of(self.matches, *self.answers)
            return {"win_rate": _mean(points)}
        return {
            f"rating/{one.model}": Measure(one.value, one.error)
            for one in self.ratings()
        }

    def _behaviour(self) -> dict[str, Measure | None]:
        agree = [m.consistent for m in self.matches if m.points is not None]
        return {
            "consistency": _mean(agree),
            "first_place": _mean(first_place(self.matches), None),
            "longer_wins": _mean(longer_wins(self.matches, self.answers), None),
            "unreadable": _mean(
                [m.points is None for m in self.matches], False
            ),
        }

    def _summary(self) -> str:
        dark = sum(match.points is None for match in self.matches)
        return (
            f"{self.judge} judged {len(self.matches):,} pairs of answers, each "
            "in both orders; a pair on which the orders disagree is a tie. "
            + (
                f"Left out, since a reply could not be read: {dark:,}."
                if dark
                else "Every reply could be read."
            )
        )

    def _pair_rows(self) -> list[dict[str, Any]]:
        p_values = {(d.a, d.b): d.p_value for d in self.differences()}
        rows = []
        for pair in itertools.combinations(self.answers, 2):
            points = points_of(self.matches, *pair)
            matches = [match for match in self.matches if match[1:3] == pair]
            rows.append(
                {
                    "model": pair[0],
                    "against": pair[1],
                    "win rate": _mean(points),
                    "wins": points.count(1.0),
                    "ties": points.count(0.5),
                    "losses": points.count(0.0),
                    "contradictions": sum(
                        match.consistent is False for match in matches
                    ),
                    "unreadable": len(matches) - len(points),
                    "p (Holm)": p_values.get(pair),
                }
            )
        return rows

    def _rating_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "model": one.model,
                "rating": Measure(one.value, one.error),
                "from": one.interval.low,
                "to": one.interval.high,
            }
            for one in self.ratings()
        ]

    def _doubtful_blocks(self) -> list[Block]:
        """The first replies that cannot be read or contradict each other."""
        doubtful = [match for match in self.matches if not match.consistent]
        doubtful.sort(key=lambda match: match.points is not None)
        blocks: list[Block] = [Title("Doubtful replies")] if doubtful else []
        for match in doubtful[:SHOWN]:
            kind = "unreadable" if match.points is None else "contradiction"
            blocks.append(
                Words(
                    f"Prompt {match.item}, {match.a} and {match.b}: {kind}. "
                    "Both replies, the second with the answers swapped."
                )
            )
            blocks += map(Code, match.replies)
        return blocks


_PAIRS = "Ties, contradictions among them, count half in a win rate."
_RATINGS = (
    "Bradley-Terry ratings, 1000 on average; 400 more are ten wins to one."
)


def _mean(values: Sequence, better: bool | None = True) -> Measure | None:
    return mean_measure(values, better) if values else None


def _sentence(found: Difference) -> str:
    """Says who is preferred; a win rate is a lead above one half."""
    gap, (low, high) = found.lead.difference, found.lead.interval
    first, second = found.a, found.b
    if found.shown and gap < 0:
        first, second, gap, low, high = second, first, -gap, -high, -low
    rates = f"{0.5 + gap:.1%} (95 %: {0.5 + low:.1%} to {0.5 + high:.1%}; "
    beginning = (
        f"{first} is preferred to {second}"
        if found.shown
        else f"No preference shown between {first} and {second}"
    )
    return f"{beginning}: {first} wins {rates}p = {found.p_value:.2g})."
