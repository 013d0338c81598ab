"""A training step: ours beside stock Keras, KerasHub and PyTorch.

    python benchmarks/train_step.py [--json PATH] [--rounds 5]
        [--precision float32|mixed_bfloat16] [--steps 5] [--cores 1]

GPT-2 of the same size everywhere (4 layers, width 256, 8,192 ids, 8 rows of
256 tokens), AdamW, gradients clipped at norm 1, in one process, alternately.
Ours is the whole step of `train.fit`: packed rows with segments, loss,
perplexity, accuracy and gradient norm. "stock fit" is our decoder under Keras'
own step and loss; "step alone" is ours called in a loop without `fit`.
PyTorch is a nanoGPT-style step (autocast, scaled_dot_product_attention, fused
AdamW), left out where torch is not installed.

Times are wall-clock: trust them on an idle machine only. On two busy cores
PyTorch, whose threads wait for each other at every operation, looked 3.2 times
slower than us, and KerasHub on one busy core 2.0 times; by CPU time on one
core it was 1.1 and 1.2 times.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import _pairs
import numpy as np

VOCABULARY, TIME, ROWS = 8192, 256, 8
LAYERS, WIDTH, HEADS = 4, 256, 4
RATE, CLIP = 1e-3, 1.0


def batches(steps: int, rows: int = ROWS) -> Any:
    """Returns endless batches of random packed rows, two documents a row."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    count = steps * rows
    tokens = random.integers(0, VOCABULARY, (count, TIME + 1), dtype="int32")
    half = np.arange(TIME, dtype="int32") % (TIME // 2)
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(half, (count, 1)),
        "segments": np.tile(1 + np.arange(TIME) // (TIME // 2), (count, 1)),
    }
    inputs["segments"] = inputs["segments"].astype("int32")
    weights = np.ones((count, TIME), "float32")
    data = tf.data.Dataset.from_tensor_slices((inputs, tokens[:, 1:], weights))
    return data.batch(rows, drop_remainder=True).repeat().prefetch(2)


def our_decoder(precision: str) -> Any:
    """Returns our decoder in GPT-2's form."""
    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder

    config = DecoderConfig(
        vocabulary_size=VOCABULARY,
        context_length=TIME,
        num_layers=LAYERS,
        hidden_dim=WIDTH,
        num_heads=HEADS,
        norm="layer",
        mlp="gelu",
        bias="all",
        rope=None,
    )
    return build_decoder(config, dtype=precision)


def fitted(model: Any, data: Any, steps: int) -> Callable[[], Any]:
    """Returns a run of `fit`."""
    return lambda: model.fit(
        data, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def ours(precision: str, data: Any, steps: int) -> Callable[[], Any]:
    """Our step under `fit`."""
    return fitted(trainer(precision), data, steps)


def trainer(precision: str) -> Any:
    """Returns our compiled trainer."""
    from keras_llm.train import AdamW, TokenTrainer, WarmupCosine

    model = TokenTrainer(our_decoder(precision), clip_norm=CLIP)
    model.compile(AdamW(WarmupCosine(RATE, total_steps=10_000)))
    return model


def alone(precision: str, data: Any, steps: int) -> Callable[[], Any]:
    """Our step in a loop of its own: what `fit` adds is the difference."""
    import tensorflow as tf

    model = trainer(precision)
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step, autograph=False)

    def run() -> float:
        for batch in data.take(steps):
            logs = step(batch)
        return float(logs["loss"])

    return run


def stock(precision: str, data: Any, steps: int) -> Callable[[], Any]:
    """Our decoder under Keras' own step, loss and optimizer."""
    model = our_decoder(precision)
    compile_stock(model)
    return fitted(model, data, steps)


def compile_stock(model: Any) -> None:
    """Compiles without XLA, which is slower in bfloat16 on CPUs."""
    import keras

    model.compile(
        keras.optimizers.AdamW(RATE, global_clipnorm=CLIP),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )


def keras_hub_fit(precision: str, data: Any, steps: int) -> Callable[[], Any]:
    """KerasHub's GPT-2."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH,
        dropout=0.0,
        max_sequence_length=TIME,
        dtype=precision,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    compile_stock(model)
    renamed = data.map(
        lambda inputs, targets, weights: (
            {"token_ids": inputs["tokens"], "padding_mask": inputs["segments"]},
            targets,
            weights,
        )
    )
    return fitted(model, renamed, steps)


def torch_step(precision: str, data: Any, steps: int) -> Callable[[], Any]:
    """A nanoGPT-style step in eager PyTorch."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = torch_gpt()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, weight_decay=0.004, fused=True
    )
    kept = [
        (torch.tensor(inputs["tokens"]), torch.tensor(targets).long())
        for inputs, targets, _ in data.take(steps).as_numpy_iterator()
    ]

    def run() -> float:
        for tokens, targets in kept:
            with torch.autocast(
                "cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"
            ):
                logits = model(tokens)
                loss = torch.nn.functional.cross_entropy(
                    logits.view(-1, VOCABULARY), targets.view(-1)
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        return loss.item()

    return run


def torch_gpt() -> Any:
    """Returns GPT-2 in PyTorch modules."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.mlp = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH),
                nn.GELU(approximate="tanh"),
                nn.Linear(4 * WIDTH, WIDTH),
            )

        def forward(self, x: Any) -> Any:
            shape = (*x.shape[:2], HEADS, WIDTH // HEADS)
            q, k, v = (
                part.view(shape).transpose(1, 2)
                for part in self.qkv(self.norms[0](x)).chunk(3, -1)
            )
            mixed = nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True
            )
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.mlp(self.norms[1](x))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Embedding(TIME, WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, ids: Any) -> Any:
            positions = torch.arange(ids.shape[1])
            x = self.blocks(self.tokens(ids) + self.positions(positions))
            return self.norm(x) @ self.tokens.weight.T

    return Decoder()


def contestants() -> Iterator[tuple[str, Callable]]:
    """Yields names and makers, ours first, and who is not installed."""
    yield "keras_llm fit", ours
    yield "keras_llm step alone", alone
    yield "keras_llm decoder, stock fit", stock
    for package, name, make in (
        ("keras_hub", "KerasHub GPT-2 fit", keras_hub_fit),
        ("torch", "PyTorch eager", torch_step),
    ):
        if importlib.util.find_spec(package):
            yield name, make
        else:
            print(f"{package} is not installed: {name} is left out.")


def main() -> None:
    """Measures, prints one table, writes JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cores", type=int, help="use only so many cores")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)  # before the libraries count them
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"Load average {load:.1f}: do not trust ratios measured now.")
    from keras_llm.train import (
        choose_precision,
        flops_per_token,
        measured_peak,
    )

    precision = choose_precision(options.precision)
    data = batches(options.steps)
    runs = {
        name: make(precision, data, options.steps)
        for name, make in contestants()
    }
    tokens = options.steps * ROWS * TIME
    rows = _pairs.compare(runs, options.rounds, work=tokens, unit="tokens")
    flops = flops_per_token(our_decoder(precision), TIME)
    peak = measured_peak(precision.removeprefix("mixed_"))
    for row in rows:
        row["MFU"] = row["tokens/s"] * flops / peak
    _pairs.show(f"training step, {precision}", rows)
    results = {
        "precision": precision,
        "peak_flops": peak,
        "cores": len(cores),
        "load_average": [load, os.getloadavg()[0]],
        "rows": rows,
    }
    _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
