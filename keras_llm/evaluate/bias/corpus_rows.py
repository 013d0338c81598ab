"""Rows of a corpus's report, from what was counted."""

import math
from typing import Any

import numpy as np

from keras_llm.evaluate.bias.corpus_counts import CorpusCounts
from keras_llm.evaluate.bias.log_odds import weighted_log_odds
from keras_llm.evaluate.bias.mentions import WordLists
from keras_llm.evaluate.corrections import holm

FEWEST = 5  # times that a word must stand near a kind to be tested


def mention_rows(counts: CorpusCounts, words: WordLists) -> list[dict]:
    """Returns how often each group is mentioned; see `CorpusBiasReport`."""
    labels = words.labels()
    total = sum(counts.by_source.values()) @ counts.is_about
    kinds = np.array([kind for kind, _ in labels])
    errors = counts.rate_errors()
    rows = []
    for i, (kind, group) in enumerate(labels):
        whole = int(total[kinds == kind].sum())
        rows.append(
            {
                "kind": kind,
                "group": group,
                "mentions": int(total[i]),
                "documents": int(counts.mentioning[i]),
                "per_million": _per_million(total[i], counts.words),
                "stderr": None if errors is None else float(errors[i]) * 1e6,
                "share": int(total[i]) / whole if whole else None,
            }
        )
    return rows


def source_rows(counts: CorpusCounts, words: WordLists) -> list[dict]:
    """Returns mentions by source, the source with most words first."""
    labels = [f"{kind}/{group}" for kind, group in words.labels()]
    sizes = counts.source_sizes
    rows = []
    for source in sorted(sizes, key=lambda name: (-sizes[name][1], name)):
        documents, number = map(int, sizes[source])
        groups = counts.by_source[source] @ counts.is_about
        rates = [_per_million(count, number) for count in groups]
        rows.append(
            {
                "source": source,
                "documents": documents,
                "words": number,
                "per_million": dict(zip(labels, rates, strict=True)),
            }
        )
    return rows


def near_rows(counts: CorpusCounts, words: WordLists) -> list[dict]:
    """Returns which words stand near which groups, the least usual first."""
    together = counts.is_about.T.astype("int64") @ counts.together
    labels = words.labels()
    rows = []
    for kind in words.groups:
        among = [i for i, label in enumerate(labels) if label[0] == kind]
        groups = np.array([labels[i][1] for i in among])
        for name, terms in words.near.items():
            table = together[among][:, [counts.near.index(t) for t in terms]]
            spoken, seen = table.any(axis=1), table.sum(axis=0) >= FEWEST
            if spoken.sum() < 2 or seen.sum() < 2:
                continue
            found = _compared(
                table[spoken][:, seen], groups[spoken], np.array(terms)[seen]
            )
            rows += [{"kind": kind, "list": name, **row} for row in found]
    p_values = [math.erfc(abs(row["z"]) / math.sqrt(2)) for row in rows]
    for row, p_value in zip(rows, holm(p_values), strict=True):
        row["p_holm"] = p_value
    return sorted(rows, key=lambda row: -abs(row["z"]))


def _compared(
    table: np.ndarray, groups: np.ndarray, terms: np.ndarray
) -> list[dict[str, Any]]:
    """Each group and word of counts `(groups, words)`."""
    log_odds, z = weighted_log_odds(table)
    together = table.sum(axis=0)
    return [
        {
            "group": str(groups[i]),
            "word": str(terms[j]),
            "count": int(count),
            "others": int(together[j] - count),
            "log_odds": float(log_odds[i, j]),
            "z": float(z[i, j]),
        }
        for (i, j), count in np.ndenumerate(table)
    ]


def _per_million(count: int, words: int) -> float:
    return float(1e6 * count / words) if words else 0.0
