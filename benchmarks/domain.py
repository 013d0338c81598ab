"""A field's texts are learned: what is won, and what is forgotten.

    python benchmarks/domain.py [--data ../shared/data] [--work runs/benchmark]
        [--steps 80] [--json PATH]

Tunes the small model of `_small_lm` (books and WikiText) on SciTLDR's
abstracts, without and with a quarter of the rows from what it was pretrained
on, and measures abstracts and WikiText that it has not seen.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _pairs
from _small_lm import BOOKS, cut, read, small_lm

SHARE, HELD = 0.25, 60


def main() -> None:
    """Runs both and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--pretraining-steps", type=int, default=500)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    general = cut(read(options.data / "wikitext2/valid.txt"))[:HELD]
    books = [p for name in BOOKS for p in cut(read(options.data / name))]
    found = {}
    for name, replay in (("without replay", []), ("with replay", books)):
        found[name] = tuned(options, general, replay)
        print(f"{name}:\n{found[name]['table']}\n")
    if options.json:
        _pairs.files.write_text(options.json, json.dumps(found, indent=2))


def tuned(options: Any, general: list[str], replay: list[str]) -> dict:
    """Tunes a fresh copy; returns measures before and after."""
    import keras_llm as kl

    lm = small_lm(
        options.data, options.work / "base", options.pretraining_steps
    )
    report = kl.tune.text(
        lm,
        abstracts(options.data / "scitldr/train.jsonl"),
        validation=abstracts(options.data / "scitldr/test.jsonl")[:HELD],
        replay=replay,
        replay_share=SHARE,
        general=general,
        steps=options.steps,
        learning_rate=1e-3,
    )
    return {
        "before": report.before,
        "after": report.after,
        "seconds": report.train["seconds"],
        "table": report.table(),
    }


def abstracts(path: Path) -> list[str]:
    """Returns the abstracts of a file of SciTLDR."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [" ".join(json.loads(line)["source"]) for line in lines]


if __name__ == "__main__":
    main()
