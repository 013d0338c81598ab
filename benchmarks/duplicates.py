"""Duplicates: what is found, and how fast, beside datasketch.

    python benchmarks/duplicates.py [--data ../shared/data]

First `dirty/dirty_sample.jsonl.gz`: pairs of documents with an exact Jaccard
index of 5-grams of at least 0.7, those found and those joined without, for
ours and for datasketch 2 (128 hashes; left out where it is not installed).
Then the speed of every step, in MB of UTF-8 a second of CPU time, on one
core: Gutenberg's books and WikiText-2 in parts of some 2,000 characters. The
best of three runs, with what a step sets aside on disk.
"""

import argparse
import collections
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm.data import (
    Counts,
    Document,
    Step,
    decontaminate,
    duplicate_lines,
    duplicate_paragraphs,
    exact_duplicates,
    near_duplicates,
    read_documents,
    repeated_lines,
    split_long,
)
from keras_llm.data.duplicates.minhash import MinHash

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Pairs = set[tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    data = parser.parse_args().data
    path = data / "dirty" / "dirty_sample.jsonl.gz"
    texts = [document.text for document in read_documents(path)]
    report_recall(texts)
    report_speed(data)


def report_recall(texts: list[str]) -> None:
    sets = [ngrams(text) for text in texts]
    index = indices(sets)
    alike = {pair for pair, value in index.items() if value >= 0.7}
    unequal = {pair for pair in alike if index[pair] < 1}
    print(f"{len(alike)} pairs of 0.7 or more, {len(unequal)} of them below 1")
    kinds = {
        "ours, default": lambda: joined(texts),
        "ours, 14 bands of 8": lambda: joined(texts, bands=14, rows=8),
        "ours, FineWeb's (no comparison)": lambda: joined(
            texts, threshold=None, bands=14, rows=8
        ),
        "datasketch, compared": lambda: by_datasketch(sets) & alike,
        "datasketch, candidates": lambda: by_datasketch(sets),
    }
    for name, find in kinds.items():
        try:
            found = find()
        except ImportError:
            print(f"{name}: datasketch is not installed")
            continue
        false = [pair for pair in found if index.get(pair, 0) < 0.7]
        far = [pair for pair in false if index.get(pair, 0) < 0.5]
        print(
            f"{name:32} recall {share(alike, found):.4f}, of those below 1 "
            f"{share(unequal, found):.4f}; joined below 0.7: {len(false)}, "
            f"below 0.5: {len(far)}"
        )


def report_speed(data: Path) -> None:
    documents = parts(data)
    size = sum(len(document.text.encode()) for document in documents)
    print(f"{len(documents):,} documents, {size / 1e6:.1f} MB; MB/s of CPU:")
    items = [
        json.loads(line)["question"]
        for line in next((data / "gsm8k").glob("*test*.jsonl"))
        .read_text(encoding="utf-8")
        .splitlines()
    ]
    texts = [document.text for document in documents]
    minhash = MinHash(5, 25, 5)
    works: dict[str, Callable[[], object]] = {
        "keys of MinHash alone": lambda: minhash.keys(texts),
        "datasketch, n-grams and keys": lambda: datasketch_keys(texts),
        **{
            step.name: lambda step=step: run(step, documents)
            for step in (
                near_duplicates(),
                exact_duplicates(),
                duplicate_paragraphs(),
                duplicate_lines(),
                repeated_lines(),
                decontaminate({"gsm8k": items}),
            )
        },
    }
    for name, work in works.items():
        try:
            print(f"  {name:30} {size / 1e6 / seconds(work):6.1f}")
        except ImportError:
            print(f"  {name:30} not installed")


def joined(texts: list[str], **settings: Any) -> Pairs:
    """Pairs of which one is dropped because of the other's cluster."""
    from keras_llm.data.duplicates.clusters import join_by_keys
    from keras_llm.data.duplicates.shingle_sets import ShingleSets, jaccard

    step = near_duplicates(**settings)
    bands, rows = step.settings["bands"], step.settings["rows"]
    threshold = step.settings["threshold"]
    sets = ShingleSets.of(texts, 5)

    def alike(first, second):
        return jaccard([sets[a] for a in first], [sets[b] for b in second]) >= (
            threshold
        )

    keys = MinHash(5, bands, rows).keys(texts)
    clusters = join_by_keys(keys, len(texts), alike if threshold else None)
    groups = collections.defaultdict(list)
    for at, root in enumerate(clusters.roots(np.arange(len(texts)))):
        groups[int(root)].append(at)
    return {
        pair
        for group in groups.values()
        for pair in itertools.combinations(group, 2)
    }


def by_datasketch(sets: list[set]) -> Pairs:
    """Pairs that datasketch's index returns for 0.7."""
    from datasketch import MinHashLSH

    lsh = MinHashLSH(threshold=0.7, num_perm=128)
    found = set()
    for at, grams in enumerate(sets):
        if grams:
            minhash = _datasketch_minhash(grams)
            found |= {(other, at) for other in lsh.query(minhash)}
            lsh.insert(at, minhash)
    return found


def datasketch_keys(texts: list[str]) -> None:
    for text in texts:
        _datasketch_minhash(ngrams(text))


def _datasketch_minhash(grams: set):
    from datasketch import MinHash as Theirs

    minhash = Theirs(num_perm=128)
    minhash.update_batch([" ".join(gram).encode() for gram in grams])
    return minhash


def ngrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return set(zip(*(words[at:] for at in range(5)), strict=False))


def indices(sets: list[set]) -> dict[tuple[int, int], float]:
    """The exact Jaccard index of all pairs with an n-gram in common."""
    places = collections.defaultdict(list)
    for at, own in enumerate(sets):
        for gram in own:
            places[gram].append(at)
    common = collections.Counter(
        pair
        for found in places.values()
        for pair in itertools.combinations(found, 2)
    )
    return {
        (a, b): both / (len(sets[a]) + len(sets[b]) - both)
        for (a, b), both in common.items()
    }


def share(pairs: Pairs, found: Pairs) -> float:
    return len(pairs & found) / len(pairs)


def parts(data: Path) -> list[Document]:
    folders = (data / "gutenberg", data / "wikitext2")
    files = [path for folder in folders for path in folder.iterdir()]
    whole = (
        Document(path.read_text("utf-8", errors="replace"), path.name)
        for path in sorted(files)
        if path.name != "SOURCE"
    )
    return run(split_long(2000), whole)


def run(step: Step, documents: Iterable[Document]) -> list[Document]:
    return list(step(documents, Counts(step.name)))


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


if __name__ == "__main__":
    main()
