"""A training step with experts beside the dense model that costs as much.

    python benchmarks/experts.py [--json PATH] [--rounds 5] [--steps 3]
        [--precision float32|mixed_bfloat16] [--rows 8] [--xla] [--cores 1]

The dense MLP is as wide as all experts together that see one token, so both
models have as many active parameters, but for the router. Whole steps of
`TokenTrainer` (4 layers, width 256, 8,192 ids, rows of 256 tokens), in one
process, alternately. "all on the same" has a router that sends every token to
the first experts: the worst that can happen to the balance. The optimizer
updates all parameters, active or not, and is part of the step: with few tokens
in a step, many experts cost more by it than by themselves.
"""

import os
from collections.abc import Callable
from typing import Any

import _pairs
import numpy as np
from _train_peers import SIZES, batches

VOCABULARY, TIME = 8192, 256
LAYERS, WIDTH, HEADS, INNER = 4, 256, 4, 1024
DENSE = "dense"
MIXTURES = {"2 of 8 experts": (8, 2), "8 of 64 experts": (64, 8)}
GOAL = 1.5


def decoder(precision: str, count: int = 0, top_k: int = 1) -> Any:
    """Returns a Llama-like decoder, with `count` experts or dense."""
    from keras_llm.config import DecoderConfig, Experts
    from keras_llm.model import build_decoder

    experts = None
    if count:
        experts = Experts(count=count, top_k=top_k, mlp_dim=INNER // top_k)
    config = DecoderConfig(
        vocabulary_size=VOCABULARY,
        context_length=TIME,
        num_layers=LAYERS,
        hidden_dim=WIDTH,
        num_heads=HEADS,
        mlp_dim=INNER,
        experts=experts,
    )
    return build_decoder(config, dtype=precision)


def unbalance(model: Any) -> None:
    """Lets every token choose the first experts: equal scores, first wins."""
    for variable in model.trainable_variables:
        if "/router/" in variable.path:
            variable.assign(np.zeros(variable.shape))


def step(model: Any, data: Any, steps: int, xla: bool) -> Callable[[], Any]:
    """Returns a run of some training steps."""
    import tensorflow as tf

    from keras_llm.train import AdamW, TokenTrainer

    trainer = TokenTrainer(model, clip_norm=1.0)
    # A rate of zero: the routing stays as it is.
    trainer.compile(AdamW(0.0), jit_compile=xla)
    trainer.optimizer.build(trainer.trainable_variables)
    traced = tf.function(trainer.train_step, autograph=False, jit_compile=xla)

    def run() -> float:
        for batch in data.take(steps):
            logs = traced(batch)
        return float(logs["loss"])

    return run


def parameters(model: Any, count: int = 1, top_k: int = 1) -> dict[str, int]:
    """Returns how many parameters there are and how many see one token."""
    total = active = 0
    for variable in model.trainable_variables:
        size = int(np.prod(variable.shape))
        stacked = "/experts/" in variable.path and len(variable.shape) == 3
        total += size
        active += size * top_k // count if stacked else size
    return {"parameters": total, "active": active}


def main() -> None:
    """Measures, prints one table, writes JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--cores", type=int, help="use only so many cores")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)  # before the libraries count them
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"Load average {load:.1f}: do not trust times measured now.")
    from keras_llm.train import choose_precision

    precision = choose_precision(options.precision)
    size = SIZES["base"]._replace(rows=options.rows)
    data = batches(options.steps, size)
    models = {DENSE: decoder(precision)}
    sizes = {DENSE: parameters(models[DENSE])}
    for name, mixture in MIXTURES.items():
        models[name] = decoder(precision, *mixture)
        worst = f"{name}, all on the same"
        models[worst] = decoder(precision, *mixture)
        unbalance(models[worst])
        sizes[name] = sizes[worst] = parameters(models[name], *mixture)
    runs = {
        name: step(model, data, options.steps, options.xla)
        for name, model in models.items()
    }
    tokens = options.steps * options.rows * TIME
    rows = _pairs.compare(runs, options.rounds, work=tokens, unit="tokens")
    dense = rows[0]["best_s"] / sizes[DENSE]["active"]
    for row in rows:
        row |= sizes[row["name"]]
        row["per_active"] = row["best_s"] / row["active"] / dense
    _pairs.show(f"training step, {precision}", rows)
    worst = max(row["per_active"] for row in rows)
    print(
        f"Time per active parameter: at most {worst:.2f} times the dense "
        f"model's (goal: {GOAL})."
    )
    results = {
        "precision": precision,
        "xla": options.xla,
        "rows_of_256_tokens": options.rows,
        "cores": len(cores),
        "load_average": [load, os.getloadavg()[0]],
        "worst_per_active_parameter": worst,
        "rows": rows,
    }
    _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
