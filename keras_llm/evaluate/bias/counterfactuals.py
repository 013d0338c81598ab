"""Counterfactuals: is the same text as likely about somebody else?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.bias.numbers import sums_and_means
from keras_llm.evaluate.bias.rows import measure_name
from keras_llm.evaluate.bias.swaps import Swap, load_swaps
from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.finding import Block, Measure, Table, Title, Words
from keras_llm.evaluate.statistics import (
    bootstrap,
    cohens_d,
    sign_flip_test,
    standard_error,
)
from keras_llm.evaluate.subject import Subject

SHOWN = 5  # most unequal pairs on the page, of each swap
MOST = 300  # characters of each


class TextPair(NamedTuple):
    """One text about the first group and about the second.

    Attributes:
        first: The text about the first group.
        second: The text about the second.
        nats: Log-probability of `first` minus that of `second`.
        nats_per_token: The same of their means over tokens.
        original: Which group the text was about before the swap.

    Example:

    >>> TextPair("He ran.", "She ran.", 0.5, 0.1, "male").nats
    0.5
    """

    first: str
    second: str
    nats: float
    nats_per_token: float
    original: str


@dataclasses.dataclass(frozen=True)
class CounterfactualReport:
    """How much likelier texts are about the first group than about the other.

    Attributes:
        rows: One for each swap: `swap`, `groups`, `pairs`, `skipped` (texts
            with no word of the swap, or with as many of both groups), and
            where there are pairs `nats` with `stderr`, `low`, `high` (95 %,
            bootstrap over texts), `nats_per_token`, `from_first` and
            `from_second` (the mean nats of texts that were about that group
            before the swap, None if there are none), `effect_size` (Cohen's
            d of the differences in nats), `p_value` (two-sided, of random
            signs) and `p_holm` (corrected over the swaps).
        pairs: The pairs of each swap.
        title: Of the section.

    Example:

    >>> row = {"swap": "gender", "groups": ("male", "female"), "pairs": 0,
    ...     "skipped": 2}
    >>> CounterfactualReport([row], {}).measures()
    {}
    """

    rows: Sequence[dict[str, Any]]
    pairs: Mapping[str, Sequence[TextPair]]
    title: str = "Counterfactual swaps"

    def measures(self) -> dict[str, Measure]:
        """Returns differences in nats and effect sizes by swap."""
        found = {}
        for row in filter(lambda row: row["pairs"], self.rows):
            name = measure_name("counterfactual", row["swap"])
            found[f"{name}/nats"] = Measure(
                row["nats"], row["stderr"], row["pairs"], None
            )
            if row["effect_size"] is not None:
                found[f"{name}/effect_size"] = Measure(
                    row["effect_size"], None, row["pairs"], None
                )
        return found

    def blocks(self) -> list[Block]:
        """Returns the table, and the most unequal pairs of each swap."""
        blocks: list[Block] = [
            Words(
                "Each text is scored as it is about one group and as it is "
                "about the other. Above zero, the model finds the text "
                "likelier about the first group. Words of unequal frequency "
                "alone make a difference: what speaks of bias is a difference "
                "that depends on what the text says. A text that was written "
                "about one group may read less well about the other: compare "
                "the means by whom the texts were about."
            ),
            Table([_shown(row) for row in self.rows], "Counterfactual swaps."),
        ]
        for name, pairs in self.pairs.items():
            worst = sorted(pairs, key=lambda pair: -abs(pair.nats))[:SHOWN]
            if worst:
                caption = f"The most unequal pairs of {name}."
                rows = [_beginnings(pair) for pair in worst]
                blocks += [Title(f"Swap: {name}"), Table(rows, caption)]
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, each pair by name."""
        pairs = {
            name: [pair._asdict() for pair in some]
            for name, some in self.pairs.items()
        }
        return {**dataclasses.asdict(self), "pairs": pairs}


def counterfactual(
    subject: Subject,
    texts: Sequence[str],
    swaps: Mapping[str, Swap] | None = None,
    seed: int = 0,
) -> CounterfactualReport:
    """Scores texts about one group and about another.

    A text is about the group that more of its words belong to; all words of
    both groups are swapped. Texts without such words, or with as many of
    both, are counted and left out.

    Args:
        subject: What is asked.
        texts: Sentences or short documents, such as "He is a nurse.".
        swaps: By name. Default: `load_swaps()`.
        seed: Of the bootstrap and the signs.

    Raises:
        InputError: No text has a word of any swap, or the model gives no
            number.

    Source: counterfactual substitution, Lu et al. 2018,
    https://arxiv.org/abs/1807.11714, and Zmigrod et al. 2019,
    https://aclanthology.org/P19-1161.

    Example:

    >>> from keras_llm.evaluate.subject import ScoredTokens
    >>> class SheKnowsLess:
    ...     name = fingerprint = "1"
    ...     def token_scores(self, texts):
    ...         return [ScoredTokens([t], np.array([-2.0 if "She" in t
    ...                 else -1.0])) for t in texts]
    >>> report = counterfactual(SheKnowsLess(), ["He ran.", "She sat."])
    >>> report.rows[0]["swap"], report.rows[0]["nats"]
    ('gender', 1.0)
    """
    swaps = load_swaps() if swaps is None else swaps
    both = {name: _both(swap, texts) for name, swap in swaps.items()}
    asked = [t for some in both.values() for a, b, _ in some for t in (a, b)]
    if not asked:
        raise InputError(
            "Expected at least one text with a word of a swap, such as he or "
            f"she. Received: {len(texts)} texts without. Pass sentences about "
            f"people, or other swaps than {', '.join(swaps)}."
        )
    unique = list(dict.fromkeys(asked))
    scores = dict(zip(unique, sums_and_means(subject, unique), strict=True))
    pairs = {
        name: [_pair(*pair, scores) for pair in some]
        for name, some in both.items()
    }
    rows = [
        _row(swaps[name], some, len(texts) - len(some), seed)
        for name, some in pairs.items()
    ]
    tested = [row for row in rows if row["pairs"]]
    corrected = holm([row["p_value"] for row in tested])
    for row, p_value in zip(tested, corrected, strict=True):
        row["p_holm"] = p_value
    return CounterfactualReport(rows, pairs)


def _both(swap: Swap, texts: Sequence[str]) -> list[tuple[str, str, str]]:
    """Texts about the first and the second group, and who it was about."""
    found = []
    for text in texts:
        other = swap(text)
        if other.first > other.second:
            found.append((text, other.text, swap.groups[0]))
        elif other.second > other.first:
            found.append((other.text, text, swap.groups[1]))
    return found


def _pair(
    first: str,
    second: str,
    original: str,
    scores: Mapping[str, tuple[float, float]],
) -> TextPair:
    total, mean = np.subtract(scores[first], scores[second]).tolist()
    return TextPair(first, second, total, mean, original)


def _beginnings(pair: TextPair) -> dict[str, Any]:
    """A row of a table, texts not in full."""
    cut = {"first": pair.first[:MOST], "second": pair.second[:MOST]}
    return {**pair._asdict(), **cut}


def _row(
    swap: Swap, pairs: Sequence[TextPair], skipped: int, seed: int
) -> dict[str, Any]:
    row = {
        "swap": swap.name,
        "groups": swap.groups,
        "pairs": len(pairs),
        "skipped": skipped,
    }
    if not pairs:
        return row
    gaps = np.array([pair.nats for pair in pairs])
    low, high = bootstrap(gaps, seed=seed)
    parts = [
        [pair.nats for pair in pairs if pair.original == group]
        for group in swap.groups
    ]
    by_origin = [float(np.mean(part)) if part else None for part in parts]
    return row | {
        "nats": float(gaps.mean()),
        "stderr": standard_error(gaps),
        "low": low,
        "high": high,
        "nats_per_token": float(np.mean([p.nats_per_token for p in pairs])),
        "from_first": by_origin[0],
        "from_second": by_origin[1],
        "effect_size": cohens_d(gaps),
        "p_value": sign_flip_test(gaps, seed=seed),
        "p_holm": None,
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "swap": row["swap"],
        "first - second": " - ".join(row["groups"]),
        "pairs": row["pairs"],
        "skipped": row["skipped"],
    }
    names = {
        "nats_per_token": "per token",
        "from_first": "of first",
        "from_second": "of second",
        "low": "95 % low",
        "high": "95 % high",
        "effect_size": "d",
        "p_holm": "p (Holm)",
    }
    nats = Measure(row["nats"], row["stderr"]) if row["pairs"] else ""
    cells = {label: row.get(name) for name, label in names.items()}
    blanks = {k: "" if value is None else value for k, value in cells.items()}
    return {**shown, "nats": nats, **blanks}
