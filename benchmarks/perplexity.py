"""The perplexity filter: what it finds, and what it costs.

    python benchmarks/perplexity.py [--data ../shared/data]
        [--work runs/perplexity] [--steps 200]
        [--corpus runs/curated_vs_raw/corpora/curated]

A small model is trained on clean pages of two books, WikiText-2 and Python's
manual, once. Limits are fitted on every other clean document of
`dirty/dirty_sample.jsonl.gz` (from other books); the first table says how many
of the rest are dropped, of each kind. The second table is about a corpus of
`curated_vs_raw.py`, where the limits are percentiles of the corpus itself. Then
the speed: documents and MB of what is read, a second of CPU time and of the
clock.
"""

import argparse
import collections
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from _dirty_corpus import clean_documents

from keras_llm.data import (
    Counts,
    Document,
    Step,
    keep_percentiles,
    read_corpus,
    read_documents,
)
from keras_llm.evaluate import perplexity_filter

VOCABULARY, CONTEXT, ROWS = 2048, 256, 8
KEEP = ((0.5, 99.5), (1, 99), (2.5, 97.5))  # of the clean sample
SHARES = ((0, 90), (3, 90), (5, 85))  # of a corpus
CHARACTERS = (500, 2000)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/perplexity"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--corpus",
        type=Path,
        default=Path("runs/curated_vs_raw/corpora/curated"),
    )
    options = parser.parse_args()
    model = trained(options.data, options.work, options.steps)
    path = options.data / "dirty" / "dirty_sample.jsonl.gz"
    dirty = kept(perplexity_filter(model), read_documents(path))
    labelled(dirty)
    if options.corpus.is_dir():
        pages = kept(perplexity_filter(model), read_corpus(options.corpus))
        print(f"\ndropped of {options.corpus}, by percentiles of its own:")
        show(
            pages,
            "dirt",
            {
                f"{low}-{high} %": kept(
                    keep_percentiles("bits_per_byte", low, high), pages
                )
                for low, high in SHARES
            },
        )
    for characters in CHARACTERS:
        speed(model, dirty, characters)


def labelled(dirty: list[Document]) -> None:
    """Limits from every other clean document, as `fit_thresholds` has them."""
    clean = [one for one in dirty if one.metadata["kind"] == "clean"]
    sample = clean[::2]
    used = set(map(id, sample))
    rest = [one for one in dirty if id(one) not in used]
    columns = {}
    for keep in KEEP:
        low, high = np.percentile([bits(one) for one in sample], keep)
        columns[f"{low:.2f} to {high:.2f}"] = [
            one for one in rest if low <= bits(one) <= high
        ]
    print("\ndropped of labelled documents, outside percentiles of clean ones")
    print(" and ".join(f"{low}-{high}" for low, high in KEEP) + ":")
    show(rest, "kind", columns)


def bits(document: Document) -> float:
    """Bits per byte of a document, from its metadata."""
    return document.metadata["bits_per_byte"]


def trained(data: Path, work: Path, steps: int) -> Path:
    """Returns the folder of the filter's model; trains it where it is not."""
    import keras

    import keras_llm as kl

    folder = work / "model"
    if folder.is_dir():
        return folder
    keras.utils.set_random_seed(0)
    texts = [page.text for page in clean_documents(data)]
    tokenizer = kl.BytePairTokenizer.train(texts, VOCABULARY, progress=False)
    decoder = kl.build_decoder(
        kl.DecoderConfig(
            vocabulary_size=VOCABULARY,
            context_length=CONTEXT,
            num_layers=2,
            hidden_dim=128,
            num_heads=4,
        ),
        "float32",
    )
    report = kl.train.fit(
        decoder,
        kl.tune.text_rows_of(texts, tokenizer, CONTEXT),
        out=work / "run",
        steps=steps,
        batch_size=ROWS,
        learning_rate=5e-3,
    )
    print(f"{report.parameters:,} parameters, {report.tokens:,} tokens")
    kl.CausalLM(decoder, tokenizer).save(folder)
    return folder


def kept(step: Step, documents: Iterable[Document]) -> list[Document]:
    """What a step hands on."""
    return list(step(documents, Counts(step.name)))


def show(
    documents: list[Document], field: str, columns: Mapping[str, list[Document]]
) -> None:
    """Prints the share that each column lacks, and the bits, by kind."""
    kinds = collections.defaultdict(list)
    for one in documents:
        kinds[str(one.metadata[field])].append(bits(one))
    left = [
        collections.Counter(str(one.metadata[field]) for one in column)
        for column in columns.values()
    ]
    head = f"{'':30}{'documents':>10}{'median':>8}"
    print(head + "".join(f"{name:>14}" for name in columns))
    for kind, values in sorted(kinds.items()):
        shares = [1 - one[kind] / len(values) for one in left]
        cells = "".join(f"{share:14.1%}" for share in shares)
        median = np.median(values)
        print(f"{kind:30}{len(values):10,}{median:8.2f}{cells}")


def speed(model: Path, documents: list[Document], characters: int) -> None:
    """Prints how fast documents are scored, after a first round."""
    step = perplexity_filter(model, characters=characters)
    size = sum(len(one.text[:characters].encode()) for one in documents)
    kept(step, documents[:300])  # compiles
    cpu, clock = time.process_time(), time.perf_counter()
    kept(step, documents)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    print(
        f"\n{characters} characters of {len(documents):,} documents: "
        f"{len(documents) / clock:,.0f} documents/s, "
        f"{size / 1e6 / clock:.3f} MB/s by the clock; "
        f"{len(documents) / cpu:,.0f} documents/s, {size / 1e6 / cpu:.3f} "
        "MB/s of CPU time"
    )


if __name__ == "__main__":
    main()
