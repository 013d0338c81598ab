"""Classification on real texts, from models pretrained here in minutes.

    python benchmarks/classify.py sms [--minutes 2] [--json PATH] [--plot PATH]
    python benchmarks/classify.py wnut17 [--minutes 2] [--json PATH]

sms: SMS spam. Each text stands in the data once; 70 % are to learn from, 10 %
for validation, 20 % for the test, at random with a fixed seed. A decoder is
pretrained for `--minutes` on the texts to learn from without their labels,
then becomes a classifier. Beside it: always "ham"; logistic regression on
TF-IDF (scikit-learn); and the same decoder that was not pretrained. The
accuracy is that of the natural distribution (one in eight is spam) and of a
balanced part of the test (all spam, and as many others).

wnut17: named entities. Pretrained on the words of the training sentences and
on WikiText-2, then tuned on the tags, with a fifth of the weight on words that
are no entity; by span F1 of seqeval on the test set, which must agree with
ours. Beside it: "O" for every word, which is the majority, and the tag that
each word had most often in training.
"""

import argparse
import collections
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import _pairs
import numpy as np

CONTEXT = 128
VOCABULARY = {"sms": 4096, "wnut17": 2048}
OUTSIDE = {"O": 0.2}  # weight of words that are no entity
SHARES = (0.7, 0.8)  # to learn from, and up to where validation goes
VARIANTS = {
    "ours, first token": {},
    "ours, last token": {"place": "last"},
    "ours, last, read twice": {"place": "last", "echo": True},
}
SIZE = {"num_layers": 4, "hidden_dim": 192, "num_heads": 6}


def sms(data: Path, seed: int) -> list[list[Any]]:
    """Returns texts to learn from, for validation and for the test."""
    from keras_llm.tune import read_labelled

    known: dict[str, Any] = {}
    for one in read_labelled(data / "sms_spam/sms.tsv"):
        known.setdefault(one.text.strip(), one)
    examples = list(known.values())
    order = np.random.default_rng(seed).permutation(len(examples))
    first, second = (int(share * len(order)) for share in SHARES)
    parts = np.split(order, [first, second])
    return [[examples[i] for i in part] for part in parts]


def language_model(
    texts: list[str], size: int, minutes: float, seed: int
) -> Any:
    """Returns a small language model of texts; 0 minutes: not trained."""
    import keras

    import keras_llm as kl

    keras.utils.set_random_seed(seed)
    tokenizer = kl.BytePairTokenizer.train(texts, size, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=tokenizer.vocabulary_size,
        context_length=CONTEXT,
        dropout=0.1,
        **SIZE,
    )
    lm = kl.CausalLM(kl.build_decoder(config), tokenizer)
    if minutes:
        rows = kl.tune.text_rows_of(texts, tokenizer, CONTEXT)
        report = kl.train.fit(
            lm.model, rows, minutes=minutes, batch_size=16, learning_rate=2e-3
        )
        print(f"pretrained: {report.steps} steps, loss {report.loss:.3f}")
    return lm


def balanced(examples: list[Any], seed: int) -> list[Any]:
    """Returns all spam, and as many others."""
    spam = [one for one in examples if one.labels == ("spam",)]
    ham = [one for one in examples if one.labels == ("ham",)]
    some = np.random.default_rng(seed).permutation(len(ham))[: len(spam)]
    return spam + [ham[i] for i in some]


def by_words(train: list[Any], test: list[Any], even: list[Any]) -> dict:
    """Logistic regression on TF-IDF: what words alone say."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=100, max_iter=1000),
    )
    model.fit([one.text for one in train], [one.labels[0] for one in train])

    def accuracy(some: list[Any]) -> float:
        right = [one.labels[0] for one in some]
        return float(model.score([one.text for one in some], right))

    return {"accuracy": accuracy(test), "balanced": accuracy(even)}


def spam(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the comparison on SMS spam."""
    from keras_llm import classify
    from keras_llm.train import read_history

    train, held, test = sms(options.data, options.seed)
    even = balanced(test, options.seed)
    share = np.mean([one.labels == ("ham",) for one in test])
    rows = [
        {"name": 'always "ham"', "accuracy": float(share), "balanced": 0.5},
        {"name": "TF-IDF + logistic", **by_words(train, test, even)},
    ]
    results: dict[str, Any] = {"texts": [len(train), len(held), len(test)]}
    for name, minutes in (("not pretrained", 0), ("ours", options.minutes)):
        begin = time.perf_counter()
        texts = [one.text for one in train]
        size = VOCABULARY["sms"]
        lm = language_model(texts, size, minutes, options.seed)
        ready = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            classifier = classify.sequence(
                lm,
                train,
                held,
                out=folder,
                pooling=options.pooling,
                epochs=options.epochs,
                learning_rate=options.rate,
                ema=options.ema,
                seed=options.seed,
            )
            history = read_history(Path(folder) / "metrics.jsonl")
        done = time.perf_counter()
        found = classify.evaluate(classifier, test)
        _, calibration = classify.calibrate(classifier, held)
        row = {
            "name": name,
            "accuracy": found["accuracy"],
            "balanced": classify.evaluate(classifier, even)["accuracy"],
        }
        rows.append(row)
        results[name] = {
            **row,
            "validation": classifier.report["validation"]["accuracy"],
            "test": found,
            "calibration": calibration.to_dict(),
            "pretraining_s": ready - begin,
            "tuning_s": done - ready,
        }
    if options.plot:
        title = (
            f"SMS spam: {len(train)} labelled texts, pretrained here for "
            f"{options.minutes:g} min"
        )
        classify.plot_curve(
            history, options.plot, title, results["ours"]["accuracy"]
        )
    _pairs.show(f"SMS spam, {len(test)} texts of the test", rows)
    return {**results, "rows": rows}


def dictionary(train: list[Any], test: list[Any]) -> list[list[str]]:
    """Returns for each word the tag it had most often; "O" for a new one."""
    seen = collections.defaultdict(collections.Counter)
    for one in train:
        for word, tag in zip(one.words, one.labels, strict=True):
            seen[word][tag] += 1
    usual = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
    return [[usual.get(word, "O") for word in one.words] for one in test]


def by_spans(name: str, test: list[Any], found: list[list[str]]) -> dict:
    """Returns a row: F1 of spans, ours and seqeval's, which must agree."""
    import warnings

    from seqeval import metrics

    from keras_llm.classify import span_scores

    truth = [list(one.labels) for one in test]
    ours = span_scores(truth, found)
    pairs = [
        a == b
        for some in zip(truth, found, strict=True)
        for a, b in zip(*some, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no span at all
        theirs = {
            "precision": metrics.precision_score(truth, found),
            "recall": metrics.recall_score(truth, found),
            "f1": metrics.f1_score(truth, found),
        }
    difference = max(abs(ours[key] - theirs[key]) for key in theirs)
    if difference > 1e-9:
        raise SystemExit(f"seqeval differs by {difference}: {ours}, {theirs}")
    row = {"name": name, "word_accuracy": float(np.mean(pairs))}
    theirs = {key: float(value) for key, value in theirs.items()}
    return row | theirs | {"macro_f1": ours["macro_f1"]}


def wikipedia(data: Path) -> list[str]:
    """Returns the paragraphs of WikiText-2's validation and test sets."""
    return [
        line.strip()
        for name in ("valid", "test")
        for line in _lines(data / f"wikitext2/{name}.txt")
        if len(line) > 50  # no titles
    ]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def wnut17(options: argparse.Namespace) -> dict[str, Any]:
    """Runs the comparison on named entities."""
    from keras_llm import classify
    from keras_llm.tune import read_tagged

    train, held, test = (
        list(read_tagged(options.data / f"wnut17/{name}.conll"))
        for name in ("train", "dev", "test")
    )
    nothing = [["O"] * len(one.words) for one in test]
    rows = [
        by_spans('always "O"', test, nothing),
        by_spans("tag of the word", test, dictionary(train, test)),
    ]
    texts = [" ".join(one.words) for one in train]
    texts = texts * 3 + wikipedia(options.data)
    size = VOCABULARY["wnut17"]
    lm = language_model(texts, size, options.minutes, options.seed)
    weights = lm.model.get_weights()
    for name, choices in VARIANTS.items():
        lm.model.set_weights(weights)
        tagger = classify.tokens(
            lm,
            train,
            held,
            class_weights=OUTSIDE,
            dropout=0.3,
            epochs=options.epochs,
            learning_rate=options.rate,
            ema=options.ema,
            seed=options.seed,
            **choices,
        )
        rows.append(by_spans(name, test, tagger.predict(test)))
        print(rows[-1], flush=True)
    _pairs.show(f"WNUT17, {len(test)} sentences of the test", rows)
    return {"sentences": [len(train), len(held), len(test)], "rows": rows}


def main() -> None:
    """Runs one of the comparisons."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=("sms", "wnut17"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--pooling", default="mean")
    parser.add_argument("--ema", type=float)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--cores", type=int, help="use only so many cores")
    parser.add_argument("--json", metavar="PATH")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    run = {"sms": spam, "wnut17": wnut17}[options.task]
    _pairs.write(options.json, {"task": options.task, **run(options)})


if __name__ == "__main__":
    main()
