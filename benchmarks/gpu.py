"""Training speed on a GPU with JAX: tokens/s, MFU and memory in bfloat16.

    python benchmarks/gpu.py [--sizes 124m 350m] [--rows 16] [--steps 20]
        [--remat] [--loss-chunk auto|all|N] [--json PATH]

GPT-2 with 1,024 tokens a row and 50,304 ids, through our layers, decoder and
`TokenTrainer.fit`: loss, perplexity, accuracy, gradient norm, clipping and
AdamW are in the step. MFU is against the largest matrix product measured on
the same GPU. Needs JAX with its GPU support and Keras, no TensorFlow. Without
a GPU it says so and ends; `--cpu` tries the script on a small model there.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import argparse
import time
from typing import Any

import _pairs
import numpy as np

TIME, VOCABULARY = 1024, 50304
SIZES = {
    "124m": {"num_layers": 12, "hidden_dim": 768, "num_heads": 12},
    "350m": {"num_layers": 24, "hidden_dim": 1024, "num_heads": 16},
}
SMALL = {"num_layers": 2, "hidden_dim": 64, "num_heads": 2}


def trainer(size: dict[str, Any], options: argparse.Namespace) -> Any:
    """Returns a compiled trainer of GPT-2."""
    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder
    from keras_llm.train import AdamW, TokenTrainer, WarmupCosine

    config = DecoderConfig(
        vocabulary_size=VOCABULARY,
        context_length=TIME,
        norm="layer",
        mlp="gelu",
        bias="all",
        rope=None,
        **size,
    )
    chunk = options.loss_chunk
    model = TokenTrainer(
        build_decoder(config, "mixed_bfloat16", remat=options.remat),
        clip_norm=1.0,
        loss_chunk={"all": None, "auto": "auto"}.get(chunk) or number(chunk),
    )
    model.compile(AdamW(WarmupCosine(6e-4, total_steps=10_000)))
    return model


def number(text: str) -> Any:
    """Returns a number where the text is one, None for "all"."""
    return int(text) if text.isdecimal() else None


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Trains some steps of one size."""
    from keras_llm.train import flops_per_token, measured_peak

    model = trainer(SMALL if options.cpu else SIZES[name], options)
    random = np.random.default_rng(0)
    rows = options.rows * options.steps
    tokens = random.integers(0, VOCABULARY, (rows, TIME + 1), dtype="int32")
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def fit(rows: int) -> float:
        start = time.perf_counter()
        model.fit(
            inputs[:rows],
            targets[:rows],
            batch_size=options.rows,
            shuffle=False,
            verbose=0,
        )
        return time.perf_counter() - start

    fit(options.rows)  # compiles
    seconds = min(fit(rows) for _ in range(options.rounds))
    speed = rows * TIME / seconds
    flops = flops_per_token(model.decoder, TIME)
    return {
        "name": "small, on a CPU" if options.cpu else name,
        "parameters": model.decoder.count_params(),
        "tokens/s": speed,
        "ms/step": 1000 * seconds / options.steps,
        "MFU": speed * flops / measured_peak("bfloat16"),
        "memory_GB": memory(),
    }


def memory() -> float | str:
    """Returns the most memory of the first device so far, in GB."""
    import jax

    stats = jax.devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / 1e9 if stats else "unknown"


def main() -> None:
    """Measures each size, prints a table, writes JSON."""
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--rows", type=int, default=16, help="in a step")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--loss-chunk", default="auto")
    parser.add_argument("--cpu", action="store_true", help="try the script")
    options = parser.parse_args()
    from keras_llm.layers import has_device

    if not has_device("gpu") and not options.cpu:
        print("JAX sees no GPU on this machine: nothing was measured.")
        return
    from keras_llm.train import measured_peak

    rows = [
        measure(name, options)
        for name in (["small"] if options.cpu else options.sizes)
    ]
    _pairs.show("training in mixed_bfloat16 with JAX", rows)
    import jax

    peak = measured_peak("bfloat16")
    device = jax.devices()[0].device_kind
    print(f"{device}: {peak / 1e12:.3g} TFLOP/s in a large matrix product")
    results = {"device": device, "peak_flops": peak, "rows": rows}
    _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
