"""The figures of "Build a Large Language Model (From Scratch)" beside ours.

    python benchmarks/book.py [--data ../shared/data] [--book CLONE]
        [--models] [--json PATH]

Prints the tables of docs/book.md whose figures are exact: what the book or its
repository prints, with the file that does, and what this library counts, in
the same form. `--data` is a folder with `llms_from_scratch/`, `sms_spam/` and
`gpt2_bpe/`; where it is absent, those rows are left out. `--book` is a clone
of the repository, for the files of its chapter 7 that are only there.
`--models` also builds models: of GPT-2's size, to measure its first loss (a
minute, 3 GB), and a small one of appendix A.

Source: Raschka 2024, https://github.com/rasbt/LLMs-from-scratch, at commit
28c65cd; figures only.
"""

import argparse
import csv
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _book_counts import (
    Row,
    adapters,
    caches,
    experts,
    families,
    sizes,
    work,
)

from keras_llm import zoo
from keras_llm.data import Counts, Document, near_duplicates
from keras_llm.files import write_text
from keras_llm.tokenizers import HostTokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BPE = "ch02/02_bonus_bytepair-encoder/compare-bpe-tiktoken.ipynb"
CH5 = "ch05/01_main-chapter-code/ch05.ipynb"
CH6 = "ch06/01_main-chapter-code/ch06.ipynb"
CH7 = "ch07/01_main-chapter-code/ch07.ipynb"
DPO = "ch07/04_preference-tuning-with-dpo/dpo-from-scratch.ipynb"
UTILITIES = "ch07/02_dataset-utilities"
SCORES = "ch07/03_model-evaluation/scores"
COUNTED = {
    "Parameters of GPT-2": sizes,
    "Parameters of others": families,
    "FLOPs": work,
    "Caches": caches,
    "Experts": experts,
    "LoRA": adapters,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--book", type=Path)
    parser.add_argument("--models", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {name: list(count()) for name, count in COUNTED.items()}
    if given.data.is_dir():
        found["Texts"] = list(texts(given.data))
    if given.book:
        found["Judges"] = list(judges(given.book))
        found["Near duplicates"] = list(duplicates(given.book))
    if given.models:
        found["Models"] = list(models(given.data))
    for name, rows in found.items():
        print(f"{name}\n\n{table(rows)}\n")
    if given.json:
        lists = {name: [r._asdict() for r in found[name]] for name in found}
        write_text(given.json, json.dumps(lists, indent=1) + "\n")


def table(rows: Iterable[Row]) -> str:
    """Rows as Markdown, one line each."""
    lines = [f"| {r.what} | {r.book} | {r.ours} | `{r.file}` |" for r in rows]
    return "\n".join(
        ["| | book | ours | its file |", "| --- " * 4 + "|", *lines]
    )


# === Texts ===


def texts(data: Path) -> Iterator[Row]:
    """GPT-2's tokens of the story, the messages, the instructions."""
    tokenizer = HostTokenizer.load(data / "gpt2_bpe")
    ids = tokenizer.encode("Hello, world. Is this-- a test?")
    theirs = "[15496, 11, 995, 13, 1148, 428, 438, 257, 1332, 30]"
    size = f"{tokenizer.vocabulary_size}"
    yield Row("GPT-2's vocabulary", BPE, "50257", size)
    yield Row("`Hello, world. Is this-- a test?`", BPE, theirs, f"{ids}")
    text = story(data)
    tokens = f"{len(tokenizer.encode(text))}"
    yield Row("The Verdict, characters", CH5, "20479", f"{len(text)}")
    yield Row("The Verdict, tokens", CH5, "5145", tokens)
    parts = zip(("training", "validation"), ("4608", "512"), strict=True)
    for (name, book), rows in zip(parts, windows(tokenizer, text), strict=True):
        what = f"The Verdict, {name} tokens in windows of 256"
        yield Row(what, CH5, book, f"{256 * len(rows)}")
    yield from messages(tokenizer, data / "sms_spam" / "sms.tsv")
    yield from instructions(data)


def story(data: Path) -> str:
    """The Verdict, by Edith Wharton."""
    path = data / "llms_from_scratch" / "the-verdict.txt"
    return path.read_text(encoding="utf-8")


def windows(tokenizer: Any, text: str) -> list[np.ndarray]:
    """The book's windows, `(rows, 257)` each: nine tenths, and the rest."""
    cut = int(0.9 * len(text))
    parts = []
    for part in (text[:cut], text[cut:]):
        ids = np.array(tokenizer.encode(part))
        starts = range(0, len(ids) - 256, 256)
        parts.append(np.stack([ids[i : i + 257] for i in starts]))
    return parts


def messages(tokenizer: Any, path: Path) -> Iterator[Row]:
    """The spam filter's messages: as many of them ham as spam."""
    # Quotation marks join lines here, as they do in pandas.
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    ham, spam = (
        [text for label, text in rows if label == name]
        for name in ("ham", "spam")
    )
    chosen = [ham[i] for i in _drawn(len(ham), len(spam))] + spam
    chosen = [chosen[i] for i in _drawn(len(chosen), len(chosen))]
    train, held = int(0.7 * len(chosen)), int(0.1 * len(chosen))
    test = len(chosen) - train - held
    batches = f"{train // 8} / {math.ceil(held / 8)} / {math.ceil(test / 8)}"
    longest = max(len(tokenizer.encode(text)) for text in chosen[:train])
    yield Row("SMS messages", CH6, "5572", f"{len(rows)}")
    yield Row("of them spam", CH6, "747", f"{len(spam)}")
    yield Row("batches of 8, balanced", CH6, "130 / 19 / 38", batches)
    yield Row("tokens of the longest to train on", CH6, "120", f"{longest}")


def _drawn(count: int, size: int) -> np.ndarray:
    """What `DataFrame.sample(size, random_state=123)` takes of `count`."""
    return np.random.RandomState(123).choice(count, size, replace=False)


def instructions(data: Path) -> Iterator[Row]:
    """How many instructions there are, and for what."""
    path = data / "llms_from_scratch" / "instruction-data.json"
    count = len(json.loads(path.read_text(encoding="utf-8")))
    train, test = int(0.85 * count), int(0.1 * count)
    ours = f"{train} / {count - train - test} / {test}"
    yield Row("instructions", CH7, "1100", f"{count}")
    what = "instructions to train on, validate, test"
    yield Row(what, CH7, "935 / 55 / 110", ours)


# === Files of the repository ===


def judges(book: Path) -> Iterator[Row]:
    """Two judges' scores of the same 100 answers."""
    import scipy.stats

    scores = [
        json.loads(
            (book / SCORES / f"{name}-model-1-response.json").read_text()
        )
        for name in ("gpt4", "llama3-8b")
    ]
    file = f"{SCORES}/correlation-analysis.ipynb"
    for name, measure, theirs in (
        ("Pearson", scipy.stats.pearsonr, "0.80489"),
        ("Spearman", scipy.stats.spearmanr, "0.698406"),
        ("Kendall", scipy.stats.kendalltau, "0.57292"),
    ):
        value = f"{measure(*scores)[0]:.6g}"
        yield Row(f"GPT-4 and Llama 3 8B, {name}", file, theirs, value)


def duplicates(book: Path) -> Iterator[Row]:
    """Near duplicates by words; theirs compares letters by TF-IDF."""
    path = book / UTILITIES / "instruction-examples.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    for key, theirs in (("instruction", "3"), ("input", "0"), ("output", "1")):
        documents = [Document(row[key], key) for row in rows if row[key]]
        kept = list(near_duplicates(0.75, words=1)(documents, Counts(key)))
        found = f"{len(documents) - len(kept)}"
        file = f"{UTILITIES}/README.md"
        yield Row(f"alike by {key}, of {len(documents)}", file, theirs, found)


# === Models ===


def models(data: Path) -> Iterator[Row]:
    """What needs a model: first losses, and the MLP of appendix A."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from keras_llm.tune import preference_losses

    mlp = keras.Sequential(
        [keras.Input((50,)), *map(keras.layers.Dense, (30, 20, 3))]
    )
    file = "appendix-A/01_main-chapter-code/code-part1.ipynb"
    yield Row("MLP of appendix A", file, "2213", f"{mlp.count_params()}")
    alike = preference_losses.dpo(np.zeros((1, 2), "float32"), beta=0.1)
    yield Row("first loss of DPO", DPO, "0.6931", f"{float(alike[0]):.4f}")
    tokenizer = HostTokenizer.load(data / "gpt2_bpe")
    keras.utils.set_random_seed(123)
    parts = zip(("training", "validation"), ("10.988", "10.981"), strict=True)
    losses = _first_losses(windows(tokenizer, story(data)))
    for (name, book), loss in zip(parts, losses, strict=True):
        what = f"gpt2, new: {name} loss (ln 50,257 is {math.log(50257):.3f})"
        yield Row(what, CH5, book, f"{loss:.3f}")


def _first_losses(parts: list[np.ndarray]) -> list[float]:
    """The mean loss of rows by GPT-2 as it is made."""
    from keras_llm.model import build_decoder
    from keras_llm.train.losses import token_loss

    model = build_decoder(zoo.config("gpt2"))
    losses = []
    for rows in parts:
        sums = [
            token_loss(model(row[:, :-1]), row[:, 1:], np.ones((1, 256)))
            for row in np.split(rows, len(rows))
        ]
        total = sum(float(one.cross_entropy) for one in sums)
        losses.append(total / (256 * len(rows)))
    return losses


if __name__ == "__main__":
    main()
