"""Does training reach the losses that are published for a size?

    python benchmarks/loss_levels.py [--only NAME ...] [--minutes 10]
        [--data ../shared/data] [--json PATH] [--plot PATH]

`nanogpt`: nanoGPT's setting for a CPU, of which its README says a validation
loss of 1.88: tinyshakespeare, characters as tokens (the text is ASCII, so
they are the bytes of an untrained byte-level vocabulary), the first nine
tenths to train on; 4 layers of width 128 with 4 heads, 64 tokens, 12 rows in
a step, 2,000 steps, AdamW from 1e-3 to 1e-4 after 100 steps of warm-up,
betas 0.9 and 0.99. `llama`: the same with our default block. Both are scored
on the whole last tenth; nanoGPT's figure is of 20 random batches of it.

`gutenberg`: the preset mini with byte pairs, on English books for `--minutes`,
in bits per byte of books' last twentieths, beside what xz -9 needs for them.

Source: https://github.com/karpathy/nanoGPT (README, "quick start").
"""

import argparse
import json
import lzma
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = "../shared/data"
BOOKS = ("Alice*", "Moby*", "Pride*")
PUBLISHED = 1.88  # nats a character, nanoGPT's README
SIZE = {"num_layers": 4, "hidden_dim": 128, "num_heads": 4}
PLAN = {
    "steps": 2000,
    "batch_size": 12,
    "learning_rate": 1e-3,
    "warmup_steps": 100,
    "beta_2": 0.99,
    "log_every": 100,
    "validate_every": 200,
}


def shakespeare(data: Path) -> tuple[list[str], list[str]]:
    """The first nine tenths of the characters, and the last."""
    text = (data / "tinyshakespeare/input.txt").read_text(encoding="ascii")
    cut = len(text) * 9 // 10
    return [text[:cut]], [text[cut:]]


def books(data: Path) -> tuple[list[str], list[str]]:
    """All but the last twentieth of each English book, and those."""
    folder = data / "gutenberg"
    texts = [
        path.read_text(encoding="utf-8")
        for pattern in BOOKS
        for path in sorted(folder.glob(pattern))
    ]
    cuts = [len(text) * 19 // 20 for text in texts]
    pairs = list(zip(texts, cuts, strict=True))
    return [text[:cut] for text, cut in pairs], [t[cut:] for t, cut in pairs]


def packed(parts: tuple, folder: Path, vocabulary: int, length: int) -> list:
    """Trains a tokenizer on the first part and packs both."""
    from keras_llm.data import Document, open_rows, pack_corpus
    from keras_llm.tokenizers import HostTokenizer

    tokenizer = HostTokenizer.train(parts[0], vocabulary)
    found = [tokenizer]
    for name, texts in zip(("train", "held"), parts, strict=True):
        documents = [Document(text, name) for text in texts]
        pack_corpus(documents, tokenizer, folder / name, length)
        found.append(open_rows(folder / name))
    return found


def characters(data: Path, folder: Path, minutes: float, **config: Any) -> dict:
    """Trains in nanoGPT's setting."""
    tokenizer, rows, held = packed(shakespeare(data), folder, 261, 64)
    sizes = {**SIZE, **config, "context_length": 64}
    report = trained(
        {**sizes, "vocabulary_size": tokenizer.vocabulary_size},
        folder,
        (rows, held),
        **PLAN,
    )
    return {**report, "published": PUBLISHED}


def gutenberg(data: Path, folder: Path, minutes: float) -> dict:
    """Trains the preset mini on books for some minutes."""
    from keras_llm import zoo

    parts = books(data)
    tokenizer, rows, held = packed(parts, folder, 4096, 256)
    size = zoo.config("mini", context_length=256).to_dict()
    size["vocabulary_size"] = tokenizer.vocabulary_size
    plan = {"minutes": minutes, "batch_size": 16, "validate_every": 50}
    report = trained(size, folder, (rows, held), **plan)
    raw = "".join(parts[1]).encode()
    scored = sum(len(tokenizer.encode(text)) + 1 for text in parts[1])
    nats = report["validation_loss"] * scored
    report["bits_per_byte"] = round(nats / math.log(2) / len(raw), 4)
    every = "".join(parts[0]).encode()
    # What the held-out text adds to a file that has the training text, too.
    both = [len(lzma.compress(x, preset=9)) for x in (every + raw, every)]
    report["xz_bits_per_byte"] = round(8 * (both[0] - both[1]) / len(raw), 4)
    return report


def trained(config: dict, folder: Path, rows: tuple, **plan: Any) -> dict:
    """Trains a decoder and returns its losses."""
    import keras

    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder
    from keras_llm.train import choose_precision, fit

    keras.utils.set_random_seed(0)
    model = build_decoder(DecoderConfig.from_dict(config), choose_precision())
    out = folder / "run"
    report = fit(model, rows[0], validation_rows=rows[1], out=out, **plan)
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "validation_loss": round(report.validation_loss or math.nan, 4),
        "parameters": report.parameters,
        "tokens": report.tokens,
        "minutes": round(report.seconds / 60, 2),
        "curve": [json.loads(line) for line in lines],
    }


def plain_gpt(*args: Any) -> dict:
    """nanoGPT's block: layer norms, learned positions, no biases."""
    return characters(*args, norm="layer", mlp="gelu", rope=None)


RUNS: dict[str, Callable[[Path, Path, float], dict]] = {
    "nanogpt": plain_gpt,
    "llama": characters,
    "gutenberg": gutenberg,
}


def draw(found: dict[str, dict], path: Path) -> None:
    """Draws all curves, training thin and validation thick."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for number, (name, run) in enumerate(found.items()):
        for key, width in (("loss", 0.8), ("validation_loss", 2.0)):
            points = [(x["step"], x[key]) for x in run["curve"] if key in x]
            label = f"{name}: {run['validation_loss']:.3f}"
            axes.plot(
                *zip(*points, strict=True),
                color=f"C{number}",
                linewidth=width,
                label=label if width > 1 else None,
            )
    axes.axhline(
        PUBLISHED,
        linestyle=":",
        color="black",
        linewidth=1,
        label=f"nanoGPT's README: {PUBLISHED}",
    )
    axes.set(xlabel="step", ylabel="nats a token", ylim=(1.3, 3.8))
    axes.legend(title="validation (thick; training thin)")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Reads the command line; prints and keeps what the runs gave."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--data", type=Path, default=Path(DATA))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found = {}
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = RUNS[name](chosen.data, Path(folder), chosen.minutes)
        short = {k: v for k, v in found[name].items() if k != "curve"}
        print(name, json.dumps(short), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    if chosen.plot:
        draw(found, chosen.plot)


if __name__ == "__main__":
    main()
