"""The book's run of chapter 5: a new GPT-2 learns The Verdict by heart.

    python benchmarks/verdict.py [--steps 90] [--initial gpt2]
        [--json result.json]

The settings are those of the book's notebook (ch05/01_main-chapter-code of
rasbt/LLMs-from-scratch): 124 million parameters beside a second table, dropout
0.1; windows of 256 tokens that do not overlap, two in a step; 90 % of the
characters to train on; AdamW at 4e-4 with a decay of 0.1, without warm-up,
cosine or clipping; seed 123. Unlike there, queries, keys and values have a bias
(as in the published model), and norms and biases do not decay. `--initial` says
what the weights begin as: "torch", as there (tables normal with a deviation of
1, matrices uniform within one over the root of their inputs), or "gpt2", as the
published model and ours (a deviation of 0.02). It decides the run. The story is
`kl.data.download("the_verdict")`. Needs 6 GB and ten minutes or more on two
cores.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_llm as kl

LENGTH, ROWS = 256, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--initial", choices=("torch", "gpt2"), default="torch")
    parser.add_argument("--data", type=Path, help="folder with the story")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = asked.data or kl.data.download("the_verdict")
    text = (folder / "the-verdict.txt").read_text(encoding="utf-8")
    lines = train(text, asked.steps, asked.initial)
    for line in lines:
        print(json.dumps(line))
    if asked.json:
        asked.json.write_text(json.dumps(lines, indent=1) + "\n")


def train(text: str, steps: int, initial: str) -> list[dict[str, float]]:
    """The losses of training (mean of five steps) and validation."""
    cut = int(0.9 * len(text))
    train_rows, held_rows = windows(text[:cut]), windows(text[cut:])
    keras.utils.set_random_seed(123)
    config = kl.zoo.config(
        "gpt2", context_length=LENGTH, tie_embeddings=False, dropout=0.1
    )
    model = kl.build_decoder(config)
    if initial == "torch":
        begin_as_torch(model)
    print(f"{model.count_params():,} parameters", flush=True)
    lines: list[dict[str, float]] = []

    class Look(keras.callbacks.Callback):
        losses: list[float] = []
        started = time.monotonic()

        def on_train_batch_end(self, batch, logs=None):
            step = len(self.losses) + 1  # Keras gives the mean of all steps
            now = step * float(logs["loss"]) - sum(self.losses)
            self.losses.append(now)
            if step % 5 == 0 or step == steps:
                seconds = time.monotonic() - self.started
                lines.append(
                    {
                        "step": step,
                        "training": round(np.mean(self.losses[-5:]), 3),
                        "validation": round(held_out(model, held_rows), 3),
                        "seconds": round(seconds),
                    }
                )
                print(json.dumps(lines[-1]), flush=True)

    kl.train.fit(
        model,
        train_rows,
        steps=steps,
        batch_size=ROWS,
        learning_rate=4e-4,
        schedule="constant",
        warmup_steps=0,
        weight_decay=0.1,
        beta_2=0.999,
        clip_norm=None,
        precision="float32",
        loss_chunk=None,
        callbacks=[Look()],
        log_every=steps,
        validate_every=steps,
        checkpoint_every=steps,
        sample_every=steps,
        seed=123,
    )
    return lines


def begin_as_torch(model: keras.Model) -> None:
    """Gives the weights the initial values of torch's layers."""
    random = np.random.default_rng(123)
    for weight in model.trainable_variables:
        shape, path = weight.shape, weight.path
        if "embedding" in path and "reverse" not in path:
            weight.assign(random.normal(size=shape).astype("float32"))
        elif len(shape) == 2:
            bound = shape[0] ** -0.5
            weight.assign(random.uniform(-bound, bound, shape))


def windows(text: str) -> kl.data.ArrayRows:
    """Windows of the book: `LENGTH` tokens that do not overlap."""
    tokenizer = kl.BytePairTokenizer.load(kl.data.download("gpt2_bpe"))
    ids = np.array(tokenizer.encode(text), "int32")
    starts = range(0, len(ids) - LENGTH, LENGTH)
    rows = np.stack([ids[start : start + LENGTH + 1] for start in starts])
    return kl.data.ArrayRows(*kl.data.training_arrays(rows, np.ones_like(rows)))


def held_out(model: keras.Model, rows: kl.data.ArrayRows) -> float:
    """The loss without dropout."""
    inputs, targets, weights = rows.batch(np.arange(len(rows)))
    loss = kl.train.token_loss(model(inputs), targets, weights)
    return float(loss.cross_entropy / loss.tokens)


if __name__ == "__main__":
    main()
