"""Do noisy copies of a few labelled messages help? SMS spam, 50 and 200 labels.

    python benchmarks/augmentation.py [--data ../shared/data] [--draws 20]
        [--copies 8] [--labels 50 200] [--json PATH]

A draw takes that many random messages as the training set. Each text stands in
the data once, and 1,500 are for the test only. The judge is TF-IDF of words
and pairs of words with a logistic regression of balanced classes
(scikit-learn), fitted on the messages with and without `--copies` copies of
each. `repeated` has as many plain copies: what more weight to the same rows
does without any noise. Printed: average precision of spam, which is of the
order of the scores alone, and F1 at a probability of a half, each as the mean
over all draws and the mean difference to `none` of the same draws with a 95 %
interval over draws (Student's t). `keyboard` and so on are that noise alone;
`usual` is the default of `augment`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from active_learning import TEST, sms

from keras_llm.synthesize import augment
from keras_llm.tune import Labelled

USUAL = ("swap", "delete", "punctuate")
ARMS = {
    "repeated": None,
    "usual": USUAL,
    **{name: (name,) for name in (*USUAL, "keyboard", "ocr", "case")},
}


def judged(rows: list[Labelled], test: list[Labelled]) -> dict[str, float]:
    """Returns how well a quick judge that is fitted on rows finds spam."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, f1_score
    from sklearn.pipeline import make_pipeline

    judge = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000),
    )
    judge.fit([row.text for row in rows], [is_spam(row) for row in rows])
    chances = judge.predict_proba([row.text for row in test])[:, 1]
    truth = [is_spam(row) for row in test]
    return {
        "average precision": float(average_precision_score(truth, chances)),
        "F1": float(f1_score(truth, chances > 0.5)),
    }


def is_spam(row: Labelled) -> bool:
    """Returns whether a message is labelled as spam."""
    return row.labels == ("spam",)


def one_draw(
    pool: list[Labelled],
    test: list[Labelled],
    labels: int,
    copies: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Returns the metrics of each arm for a training set of both classes."""
    chance = np.random.default_rng([labels, seed])
    while True:
        rows = [pool[n] for n in chance.permutation(len(pool))[:labels]]
        if len({row.labels for row in rows}) == 2:
            break
    found = {"none": judged(rows, test)}
    for name, noises in ARMS.items():
        if noises is None:
            made = rows * (1 + copies)
        else:
            made = augment(rows, copies, noises, seed=seed, held_out=test)
        found[name] = judged(made, test)
    return found


def summary(
    draws: list[dict[str, dict[str, float]]], metric: str
) -> dict[str, dict[str, Any]]:
    """Returns the mean of a metric for each arm, and its gain over none."""
    from scipy.stats import t

    wide = t.ppf(0.975, len(draws) - 1) / np.sqrt(len(draws))
    plain = np.array([one["none"][metric] for one in draws])
    found = {}
    for name in draws[0]:
        values = np.array([one[name][metric] for one in draws])
        gain = values - plain
        found[name] = {
            "mean": float(values.mean()),
            "gain": float(gain.mean()),
            "half_interval": float(wide * gain.std(ddof=1)),
            "better": int((gain > 0).sum()),
            "worse": int((gain < 0).sum()),
        }
    return found


def main() -> None:
    """Prints a table for each number of labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts, spam = sms(options.data)
    rows = [
        Labelled(text, ("spam" if one else "ham",))
        for text, one in zip(texts, spam, strict=True)
    ]
    test, pool = rows[:TEST], rows[TEST:]
    everything = {}
    for labels in options.labels:
        given = (pool, test, labels, options.copies)
        draws = [one_draw(*given, seed) for seed in range(options.draws)]
        everything[str(labels)] = {
            metric: summary(draws, metric) for metric in draws[0]["none"]
        }
        print(f"{labels} labels, {options.copies} copies, {len(draws)} draws")
        for metric, found in everything[str(labels)].items():
            print(f"  {metric}")
            for name, one in found.items():
                print(
                    f"    {name:<10} {one['mean']:.3f}   "
                    f"{one['gain']:+.3f} +- {one['half_interval']:.3f}   "
                    f"better in {one['better']}, worse in {one['worse']}"
                )
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2) + "\n")


if __name__ == "__main__":
    main()
