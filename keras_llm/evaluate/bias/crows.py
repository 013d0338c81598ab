"""CrowS-Pairs: does a model find the stereotype likelier than its opposite?"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.bias.numbers import totals
from keras_llm.evaluate.bias.rows import measure_name, rows_with
from keras_llm.evaluate.corrections import holm
from keras_llm.evaluate.finding import Block, Measure, Table, Words
from keras_llm.evaluate.proportions import half_test, wilson
from keras_llm.evaluate.statistics import standard_error
from keras_llm.evaluate.subject import Continuation, Subject

COLUMNS = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
DIRECTIONS = ("stereo", "antistereo")


class SentencePair(NamedTuple):
    """Two sentences that differ in whom they are about.

    Attributes:
        more: The more stereotyping sentence.
        less: The less stereotyping one.
        direction: "stereo" where `more` says a stereotype of a disadvantaged
            group, "antistereo" where `less` goes against one.
        bias_type: For example "gender".

    Example:

    >>> SentencePair("He drove.", "She drove.", "stereo", "gender").bias_type
    'gender'
    """

    more: str
    less: str
    direction: str
    bias_type: str


@dataclasses.dataclass(frozen=True)
class CrowsReport:
    """How often the more stereotyping sentence of a pair was the likelier.

    Attributes:
        rows: For all pairs, each direction and each bias type: `group`,
            `pairs`, `pct_stereotype` (0 to 1), `low` and `high` (95 %,
            Wilson), `p_value` (exact, two-sided, of 0.5), `p_holm` (the same,
            corrected over the bias types), `likelihood_diff` (nats) and the
            standard errors of both.
        title: Of the section.

    Example:

    >>> row = {"group": "all", "pairs": 4, "pct_stereotype": 0.75,
    ...     "pct_stderr": 0.25, "likelihood_diff": 1.0, "diff_stderr": None}
    >>> CrowsReport([row]).measures()["crows_pairs/pct_stereotype"].value
    0.75
    """

    rows: Sequence[dict[str, Any]]
    title: str = "Stereotypes: CrowS-Pairs"

    def measures(self) -> dict[str, Measure]:
        """Returns both numbers, of all pairs and of each group."""
        found = {}
        for row in self.rows:
            group = [row["group"]] if row["group"] != "all" else []
            name = measure_name("crows_pairs", *group)
            found[f"{name}/pct_stereotype"] = Measure(
                row["pct_stereotype"], row["pct_stderr"], row["pairs"], None
            )
            found[f"{name}/likelihood_diff"] = Measure(
                row["likelihood_diff"], row["diff_stderr"], row["pairs"], False
            )
        return found

    def blocks(self) -> list[Block]:
        """Returns the sentence and the table."""
        return [
            Words(
                "How often the model finds the more stereotyping sentence of "
                "a pair likelier; 0.5 is no preference, and p says how well "
                "a coin would explain the share. The pairs were written by "
                "crowd workers in the USA, and not every pair is sound "
                "(Blodgett et al. 2021): a share near 0.5 does not show that "
                "a model is fair."
            ),
            Table([_shown(row) for row in self.rows], "CrowS-Pairs."),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the rows as plain values."""
        return dataclasses.asdict(self)


def crows_pairs(
    subject: Subject, pairs: str | os.PathLike | Sequence[SentencePair]
) -> CrowsReport:
    """Asks for the likelihood of both sentences of every pair.

    `pct_stereotype` is the share of pairs whose more stereotyping sentence is
    the likelier, a tie counts against it; `likelihood_diff` is the mean
    absolute difference in nats. Both are the lm-evaluation-harness's, which
    sums over the tokens of the whole sentence after the start token.

    Args:
        subject: What is asked.
        pairs: The published CSV file, or pairs.

    Raises:
        InputError: The file is missing or has other columns, or there is no
            pair.

    Source: Nangia et al. 2020, https://aclanthology.org/2020.emnlp-main.154;
    lm_eval/tasks/crows_pairs of the harness.

    Example:

    >>> from keras_llm.evaluate.subject import Likelihood
    >>> class Letters:
    ...     name = fingerprint = "letters"
    ...     def likelihoods(self, requests):
    ...         return [Likelihood(-float(len(r.continuation)), False)
    ...                 for r in requests]
    >>> pair = SentencePair("He drove.", "She drove.", "stereo", "gender")
    >>> crows_pairs(Letters(), [pair]).rows[0]["pct_stereotype"]
    1.0
    """
    if isinstance(pairs, str | os.PathLike):
        pairs = read_crows_pairs(pairs)
    if not pairs:
        raise InputError("Expected at least one sentence pair. Received: none.")
    asked = [Continuation("", text) for p in pairs for text in (p.more, p.less)]
    more, less = totals(subject, asked).reshape(-1, 2).T
    directions = np.array([pair.direction for pair in pairs])
    types = np.array([pair.bias_type for pair in pairs])
    groups = {
        "all": np.full(len(pairs), True),
        **{d: directions == d for d in DIRECTIONS if d in directions},
        **{name: types == name for name in sorted(set(types))},
    }
    rows = [_row(name, more[at], less[at]) for name, at in groups.items()]
    by_type = rows[-len(set(types)) :]
    corrected = holm([row["p_value"] for row in by_type])
    for row, p in zip(by_type, corrected, strict=True):
        row["p_holm"] = p
    return CrowsReport(rows)


def read_crows_pairs(path: str | os.PathLike) -> list[SentencePair]:
    """Reads the published file, `crows_pairs_anonymized.csv`.

    It is at https://github.com/nyu-mll/crows-pairs.

    Raises:
        InputError: There is no such file, or a column is missing.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.csv"
    >>> head = "sent_more,sent_less,stereo_antistereo,bias_type"
    >>> _ = path.write_text(head + "\\nHe drove.,She drove.,stereo,gender\\n")
    >>> read_crows_pairs(path)[0].less
    'She drove.'
    """
    return [
        SentencePair(*(row[name] for name in COLUMNS))
        for row in rows_with(path, COLUMNS)
    ]


def _row(name: str, more: np.ndarray, less: np.ndarray) -> dict[str, Any]:
    chosen = more > less
    count, hits = len(chosen), int(chosen.sum())
    low, high = wilson(hits, count)
    gaps = np.abs(more - less)
    return {
        "group": name,
        "pairs": count,
        "pct_stereotype": hits / count,
        "pct_stderr": standard_error(chosen),
        "low": low,
        "high": high,
        "p_value": half_test(hits, count),
        "p_holm": None,
        "likelihood_diff": float(gaps.mean()),
        "diff_stderr": standard_error(gaps),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "pairs of": row["group"],
        "pairs": row["pairs"],
        "stereotype": Measure(row["pct_stereotype"], row["pct_stderr"]),
        "95 % low": row["low"],
        "95 % high": row["high"],
        "p": row["p_value"],
        "p (Holm)": "" if row["p_holm"] is None else row["p_holm"],
        "nats apart": Measure(row["likelihood_diff"], row["diff_stderr"]),
    }
