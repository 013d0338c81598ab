"""Instructions and summaries: a small model learns to answer.

    python benchmarks/instructions.py [--data ../shared/data] [--steps 500]
        [--work runs/benchmark] [--epochs 6] [--json PATH] [--plot PATH]

Pretrains a model of 4 x 256 on books, minutes long (kept in --work), tunes
it on the book's instruction-data.json (935 instructions, 55 to validate, 110
to test, the book's split), prints three answers, and tunes the pretrained one
on SciTLDR's summaries, with ROUGE beside the abstract's first sentence.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _pairs
from _small_lm import small_lm

TRAIN, TEST = 935, 110  # of 1,100, as the book splits them
SUMMARIES, NEW, LONGEST = 60, 40, 480


def main() -> None:
    """Runs both and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--summary-epochs", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    found = instructions(options)
    found |= summaries(options)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    if options.json:
        _pairs.files.write_text(options.json, json.dumps(found, indent=2))


def instructions(options: argparse.Namespace) -> dict[str, Any]:
    """Tunes on the book's instructions; returns losses and answers."""
    import keras_llm as kl

    path = options.data / "llms_from_scratch/instruction-data.json"
    talks = list(kl.tune.read_conversations(path))
    train, test = talks[:TRAIN], talks[TRAIN : TRAIN + TEST]
    lm = small_lm(options.data, options.work / "base", options.steps)
    out = options.work / "instructions"
    report = kl.tune.chat(
        lm,
        train,
        validation=test,
        epochs=options.epochs,
        learning_rate=1e-3,
        out=out,
    )
    if options.plot:
        curve(out, options.plot)
    found: dict[str, Any] = {
        "answer loss before": report.before["loss"],
        "answer loss after": report.after["loss"],
        "seconds": report.train["seconds"],
        "answers": [],
    }
    for one in test[:3]:
        question, answer = (m["content"] for m in one.messages[-2:])
        said = "".join(lm.chat(list(one.messages[:-1]), max_new_tokens=NEW))
        found["answers"].append([question, answer, said])
    return found


def summaries(options: argparse.Namespace) -> dict[str, Any]:
    """Tunes on summaries of papers; returns ROUGE of the test set's first."""
    import keras_llm as kl

    splits = {}
    for name in ("train", "test"):
        lines = (options.data / f"scitldr/{name}.jsonl").read_text("utf-8")
        papers = [json.loads(line) for line in lines.splitlines()]
        splits[name] = [
            {"text": " ".join(paper["source"]), "summary": paper["target"]}
            for paper in papers
        ]
    flat = [p | {"summary": p["summary"][0]} for p in splits["train"]]
    lm = small_lm(options.data, options.work / "base", options.steps)
    report = kl.tune.chat(
        lm,
        list(kl.tune.as_instructions("summarize", flat)),
        epochs=options.summary_epochs,
        learning_rate=1e-3,
        out=options.work / "summaries",
    )
    short = [
        paper
        for paper in splits["test"]
        if len(lm.tokenizer.encode(paper["text"])) + NEW < LONGEST
    ]
    chosen = short[:SUMMARIES]
    asked = kl.tune.as_instructions(
        "summarize", [p | {"summary": p["summary"][0]} for p in chosen]
    )
    said = [
        "".join(lm.chat(list(one.messages[:-1]), max_new_tokens=NEW))
        for one in asked
    ]
    references = [paper["summary"] for paper in chosen]
    first = [paper["text"].split(". ")[0] + "." for paper in chosen]
    return {
        "summary loss": report.train["loss"],
        "rouge": kl.evaluate.rouge(said, references),
        "rouge of the first sentence": kl.evaluate.rouge(first, references),
        "a summary": [references[0][0], said[0]],
    }


def curve(out: Path, plot: Path) -> None:
    """Draws training and validation loss."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from keras_llm.train import read_history

    history = read_history(out / "metrics.jsonl")
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for key, name in (("loss", "training"), ("validation_loss", "held out")):
        points = [(h["step"], h[key]) for h in history if key in h]
        axes.plot(*zip(*points, strict=True), label=name, marker=".")
    axes.set_xlabel("step")
    axes.set_ylabel("nats per token of an answer")
    axes.legend()
    figure.savefig(plot, dpi=80)


if __name__ == "__main__":
    main()
