"""Do Muon, WSD and muP help? Small runs on tinyshakespeare, equal tokens.

    python benchmarks/optimization.py updates|schedules|widths
        [--text ../shared/data/tinyshakespeare/input.txt] [--json PATH]
        [--steps 400] [--seeds 2] [--width 64] [--plot PATH]

Every run of a table sees the same rows in the same order, with the same first
weights for a seed, and 16 rows of 64 tokens in a step (512 ids of byte pairs);
what is compared is the loss on held-out rows at the end. `updates` tries each
optimizer at several learning rates; `schedules` each schedule at its best
rates; `widths` the rates at several widths, in the standard parametrization
and in muP. A line of JSON a run, with the training loss by step; `--plot`
draws the best run of each optimizer or schedule, or the held-out loss over the
rate for each width and parametrization.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT = "../shared/data/tinyshakespeare/input.txt"
VOCABULARY, TIME, ROWS = 512, 64, 16
RATES = {
    "adamw": (1e-3, 3e-3, 1e-2, 3e-2),
    "muon": (1e-3, 3e-3, 1e-2, 3e-2),
    "lion": (1e-4, 3e-4, 1e-3, 3e-3),
    "schedule_free": (3e-3, 1e-2, 3e-2, 1e-1),
}
SCHEDULES = ("cosine", "linear", "wsd", "inverse_square_root", "constant")
WIDTHS, BASE = (32, 64, 128), 32
WIDTH_RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)


def updates() -> Iterator[dict[str, Any]]:
    """Optimizers at several rates."""
    for optimizer, rates in RATES.items():
        for rate in rates:
            yield {"optimizer": optimizer, "learning_rate": rate}


def schedules() -> Iterator[dict[str, Any]]:
    """Schedules at two rates, and an average of the weights at the end."""
    for rate in (3e-3, 1e-2):
        for schedule in SCHEDULES:
            yield {
                "schedule": schedule,
                "learning_rate": rate,
                "min_ratio": 0.0,
            }
        yield {"schedule": "constant", "learning_rate": rate, "ema": 0.99}


def widths() -> Iterator[dict[str, Any]]:
    """Rates at several widths, in both parametrizations."""
    for width in WIDTHS:
        for rate in WIDTH_RATES:
            yield {"width": width, "learning_rate": rate}
            if width == BASE:  # the same
                continue
            yield {
                "width": width,
                "learning_rate": rate,
                "parametrization": "mup",
                "base_width": BASE,
            }


TABLES = {"updates": updates, "schedules": schedules, "widths": widths}


def rows_of(text: Path, folder: Path) -> tuple[Any, Any]:
    """Packs nine tenths of a text for training, the rest for validation."""
    from keras_llm.data import Document, open_rows, pack_corpus
    from keras_llm.tokenizers import HostTokenizer

    parts = text.read_text(encoding="utf-8").split("\n\n")
    cut = len(parts) * 9 // 10
    tokenizer = HostTokenizer.train(parts[:cut], VOCABULARY)
    opened = []
    for name, part in (("train", parts[:cut]), ("held", parts[cut:])):
        joined = [
            "\n\n".join(part[i : i + 20]) for i in range(0, len(part), 20)
        ]
        documents = [Document(text, name) for text in joined]
        pack_corpus(documents, tokenizer, folder / name, context_length=TIME)
        opened.append(open_rows(folder / name))
    return opened[0], opened[1]


def run(
    rows: tuple, folder: Path, seed: int, steps: int, **settings: Any
) -> dict[str, Any]:
    """Trains once, in a new folder within `folder`; returns what came of it."""
    import keras

    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder
    from keras_llm.train import build_mup, fit

    width = settings.pop("width")
    config = DecoderConfig(
        vocabulary_size=VOCABULARY,
        context_length=TIME,
        num_layers=3,
        hidden_dim=width,
        num_heads=width // 16,
        mlp_dim=4 * width,
        mlp="gelu",
    )
    keras.utils.set_random_seed(seed)
    if "base_width" in settings:
        model = build_mup(config, settings["base_width"], dtype="float32")
    else:
        model = build_decoder(config, "float32")
    begin = time.perf_counter()
    out = folder / f"run-{len(list(folder.iterdir()))}"
    every = {f"{n}_every": steps for n in ("checkpoint", "sample", "validate")}
    report = fit(
        model,
        rows[0],
        out=out,
        validation_rows=rows[1],
        steps=steps,
        batch_size=ROWS,
        log_every=max(steps // 20, 1),
        seed=seed,
        **every,
        **settings,
    )
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    curve = [json.loads(line) for line in lines]
    return {
        "loss": round(report.validation_loss or 0.0, 4),
        "curve": [[x["step"], round(x["loss"], 3)] for x in curve],
        "tokens": report.tokens,
        "parameters": report.parameters,
        "seconds": round(time.perf_counter() - begin, 1),
    }


def kind_of(found: dict[str, Any]) -> str:
    """What a run is one try of."""
    names = {"optimizer": "", "schedule": "", "ema": "average ", "width": ""}
    names |= {"parametrization": ""}
    return " ".join(f"{p}{found[n]}" for n, p in names.items() if n in found)


def draw(runs: list[dict[str, Any]], path: Path, over_rates: bool) -> None:
    """Draws training losses by step, or held-out losses by learning rate."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    kinds: dict[str, list[dict[str, Any]]] = {}
    for found in runs:
        if found["loss"] is not None:
            kinds.setdefault(kind_of(found), []).append(found)
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for kind, each in kinds.items():
        best = min(each, key=lambda x: x["loss"])
        points = best["curve"]
        if over_rates:
            points = sorted((x["learning_rate"], x["loss"]) for x in each)
        label = f"{kind}, rate {best['learning_rate']}: {best['loss']:.3f}"
        style = "--" if "mup" in kind else "-"
        axes.plot(*zip(*points, strict=True), style, label=label)
    if over_rates:
        axes.set(xlabel="learning rate", ylabel="held-out loss", xscale="log")
    else:
        axes.set(xlabel="step", ylabel="training loss, nats a token")
    axes.legend(title="best held-out loss", fontsize="small")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Reads the command line, and prints a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--text", type=Path, default=Path(TEXT))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    chosen = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(chosen.text, Path(folder))
        for settings in TABLES[chosen.table]():
            for seed in range(chosen.seeds):
                options = {"width": chosen.width, **settings}
                try:
                    found = run(
                        rows, Path(folder), seed, chosen.steps, **options
                    )
                except ValueError as error:  # a run that diverged counts, too
                    found = {"loss": None, "error": str(error)[:80]}
                runs.append({**options, "seed": seed, **found})
                line = json.dumps(runs[-1])
                print(line, flush=True)
                if chosen.json:
                    with open(chosen.json, "a", encoding="utf-8") as file:
                        file.write(line + "\n")
    if chosen.plot:
        draw(runs, chosen.plot, chosen.table == "widths")


if __name__ == "__main__":
    main()
