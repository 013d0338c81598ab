"""Does preference tuning teach a small model which answers are preferred?

    python benchmarks/preference.py [--data ../shared/data]
        [--work runs/benchmark] [--minutes 3] [--kinds dpo ipo orpo simpo kto]
        [--steps 60] [--json PATH] [--plot PATH]

The model is pretrained here on books (kept in --work), tuned on the book's
instructions, and then on its pairs of a polite and an impolite answer, with
each loss from the same start. The split is the book's: 935 to learn, the last
110 of 1,100 to measure. An answer's reward is its log-probability over that
under the model before (a mean token's log-probability where the loss has no
reference); a pair counts as right if the polite answer has the higher one.
Before tuning, model and reference agree on every pair, which is 50 %.
What the model before prefers by its own likelihood is printed too.
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from _small_lm import small_lm

TRAIN, TEST, LENGTH = 935, 110, 128  # LENGTH: tokens of a prompt with answer
RATES = {"dpo": 1e-4, "ipo": 1e-4, "kto": 1e-4, "orpo": 3e-4, "simpo": 1e-4}


def instructed(options: argparse.Namespace) -> Path:
    """Returns the folder of a model that answers; made if it is missing."""
    import keras_llm as kl

    folder = options.work / "instructed"
    if not (folder / "lm").is_dir():
        base = small_lm(options.data, options.work / "base", options.minutes)
        path = options.data / "llms_from_scratch/instruction-data.json"
        talks = list(kl.tune.read_conversations(path))
        kl.tune.chat(
            base,
            talks[:TRAIN],
            epochs=options.epochs,
            learning_rate=1e-3,
            samples=0,
            out=folder,
        )
    return folder / "lm"


def pairs(data: Path) -> tuple[list[Any], list[Any]]:
    """Returns the pairs to learn and those to measure."""
    from keras_llm import tune

    name = "llms_from_scratch/instruction-data-with-preference.json"
    every = list(tune.read_pairs(data / name))
    return every[:TRAIN], every[-TEST:]


def likelier(lm: Any, some: list[Any]) -> float:
    """Returns how often the chosen answer is the likelier one, unaided."""
    from keras_llm import tune

    rows = tune.pair_rows(some, lm.tokenizer, lm.chat_template, LENGTH)
    scored = tune.with_reference(rows, lm.model).inputs["reference"]
    return float((scored[:, 0] > scored[:, 1]).mean())


def measured(
    lm: Any, kind: str, some: list[Any], start: Any = None
) -> dict[str, float]:
    """Returns the metrics of a loss.

    Args:
        lm: The model.
        kind: The loss.
        some: Pairs.
        start: The reference. Default: the model itself.
    """
    from keras_llm import tune
    from keras_llm.train.scoring import score_rows

    make, rated = tune.pair_rows, some
    if kind == "kto":
        make, rated = tune.kto_rows, list(tune.ratings_of(some))
    rows = make(rated, lm.tokenizer, lm.chat_template, LENGTH)
    rows = tune.with_reference(rows, (start or lm).model)
    return score_rows(lm.model, rows, tune.Preference(kind), 16)


def tuned(
    kind: str, start: Path, options: argparse.Namespace
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Tunes with one loss; returns what came out, and the history."""
    import keras_llm as kl

    lm = kl.CausalLM.load(start, dtype=kl.train.choose_precision())
    train, test = pairs(options.data)
    out = options.work / f"preference-{kind}"
    shutil.rmtree(out, ignore_errors=True)
    before = measured(lm, kind, test)
    started = time.monotonic()
    report = kl.tune.prefer(
        lm,
        train,
        kind=kind,
        validation=test,
        context_length=LENGTH,
        steps=options.steps,
        batch_size=16,
        learning_rate=RATES[kind],
        log_every=5,
        validate_every=10,
        checkpoint_every=options.steps,
        sample_every=options.steps,
        out=out,
    )
    first = {f"validation_{name}": value for name, value in before.items()}
    history = kl.train.read_history(str(report.history))
    history = [{"step": 0, **first}, *history]
    last = history[-1]
    names = ("accuracy", "margin", "kl", "loss")
    found = {
        name: last[f"validation_{name}"]
        for name in names
        if f"validation_{name}" in last
    }
    found |= {
        "accuracy before": before["accuracy"],
        "training accuracy": last["accuracy"],
        "against the start": measured(
            *(lm, "dpo", test), kl.CausalLM.load(start)
        )["accuracy"],
        "likelier unaided": likelier(lm, test),
        "seconds": time.monotonic() - started,
    }
    return found, history


def main() -> None:
    """Tunes with each loss and prints a table."""
    from keras_llm import CausalLM, tune

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kinds", nargs="+", default=["dpo"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()

    start = instructed(options)
    _, test = pairs(options.data)
    before = likelier(CausalLM.load(start), test)
    result: dict[str, Any] = {"likelier unaided, before": before}
    print(json.dumps(result), flush=True)
    for kind in options.kinds:
        result[kind], history = tuned(kind, start, options)
        print(json.dumps({kind: result[kind]}), flush=True)
        if kind == "dpo" and options.plot:
            tune.plot_preference(history, options.plot)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
