"""Trains the same cases under one strategy, for comparison with another.

`python tests/distributed_run.py KIND OUT CASE...` with KIND mirrored (two
virtual CPU devices) or multi_worker (TF_CONFIG names the processes); writes
OUT/CASE.npz and OUT/CASE.json. On JAX, KIND is single, data_parallel, fsdp,
or model_parallel with its mesh: model_parallel:2x2.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tiny_run
from objectives import RowLoss

TIME, ROWS = 8, 40

# What stock Keras gets wrong or fails at under a strategy, all with dropout,
# with targets that do not count and a row without any.
CASES: dict[str, dict[str, Any]] = {
    # 40 rows in batches of 13: uneven shares, and a last batch of one row
    "much": {
        "batch": 13,
        "accumulate": 3,
        "clip_norm": 0.5,
        "z_loss": 1e-4,
        "loss_chunk": 24,
    },
    "much_xla": {
        "batch": 10,
        "accumulate": 2,
        "clip_norm": 0.5,
        "jit_compile": True,
        "steps_per_execution": 2,
        "loss_chunk": 16,
    },
    "chunked": {"loss_chunk": 24},
    "plain": {"dropout": 0.0},
    "clip": {"clip_norm": 0.5},
    "accumulate": {"clip_norm": 0.5, "accumulate": 4},
    "uneven": {"batch": 7, "accumulate": 3},
    "partial": {"batch": 11},  # 40 rows: the last batch of an epoch has 7
    "several_steps": {"steps_per_execution": 5},
    "xla": {"jit_compile": True, "clip_norm": 0.5},
    "xla_accumulate": {"jit_compile": True, "accumulate": 2},
    "remat": {"remat": True},
    "experts": {"experts": True, "accumulate": 2, "dropout": 0.0},
    "adam_by_name": {"optimizer": "adam"},
    "muon": {"optimizer": "muon", "accumulate": 2},
    "schedule_free": {"optimizer": "schedule_free", "clip_norm": 0.5},
    "averages_and_guard": {"optimizer": "guarded", "clip_norm": 0.5},
    # 40 rows in batches of 7, whose unit is a row
    "rows": {"objective": RowLoss(), "batch": 7, "accumulate": 2},
    "starts": {"optimizer": "later", "clip_norm": 0.5},
}


def arrays() -> tuple:
    """Rows in which some targets do not count, and one has none."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, 50, (ROWS, TIME + 1)).astype("int32")
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(np.arange(TIME, dtype="int32"), (ROWS, 1)),
        "segments": np.ones((ROWS, TIME), "int32"),
    }
    weights = (random.random((ROWS, TIME)) < 0.6).astype("float32")
    weights[5] = 0
    return inputs, tokens[:, 1:], weights


def optimizer_named(name: str | None) -> Any:
    """Returns what to compile with; large epsilons keep rounding small."""
    from keras_llm.train import AdamW, Muon, ScheduleFreeAdamW, WarmupCosine

    if name == "adam":
        return name
    if name == "muon":
        return Muon(1e-3, epsilon=1e-4)
    if name == "schedule_free":
        return ScheduleFreeAdamW(1e-3, epsilon=1e-4)
    rate = WarmupCosine(1e-2, 20, 3)
    if name == "later":
        starts = {"block_0/mlp/up/kernel": 7, "token_embedding/embeddings": 9}
        return AdamW(rate, epsilon=1e-4, starts=starts)
    if name == "guarded":
        return AdamW(rate, epsilon=1e-4, ema=0.9, guard=3.0)
    return AdamW(rate, epsilon=1e-4)


def run(distribution: Any, case: dict[str, Any]) -> tuple[list, dict]:
    """Returns weights, and logs of three epochs and of an evaluation."""
    import tensorflow as tf

    from keras_llm.config import Experts
    from keras_llm.train import TokenTrainer
    from keras_llm.train.source import Source
    from keras_llm.train.whole import whole_value

    case = {"batch": 8, "dropout": 0.1, "remat": False, **case}
    batch = case.pop("batch")
    if case.pop("experts", False):
        case["mlp_experts"] = Experts(
            count=4, top_k=2, mlp_dim=16, balance_loss=0.0, router_z_loss=0.0
        )
    data = tf.data.Dataset.from_tensor_slices(arrays()).batch(batch)
    source = Source(data, batch, TIME, None, None)
    compiled = {
        name: case.pop(name)
        for name in ("jit_compile", "steps_per_execution")
        if name in case
    }
    with distribution.scope():
        model = tiny_run.build(
            dropout=case.pop("dropout"),
            remat=case.pop("remat"),
            experts=case.pop("mlp_experts", None),
        )
        optimizer = optimizer_named(case.pop("optimizer", None))
        trainer = TokenTrainer(model, **case)
        trainer.compile(optimizer, **compiled)
    logs = trainer.fit(
        distribution.feed(lambda part, parts: source.once(part, parts)),
        epochs=3,
        shuffle=False,
        verbose=0,
    ).history
    scores = trainer.evaluate(
        distribution.feed(lambda part, parts: source.once(part, parts)),
        verbose=0,
        return_dict=True,
    )
    seeds = [v for v in model.variables if "seed" in v.path]
    variables = [*model.trainable_variables, *seeds]
    return [*map(whole_value, variables)], {**logs, "scores": scores}


def mirrored(count: int = 2) -> Any:
    """Returns a distribution over virtual CPU devices."""
    import tensorflow as tf

    from keras_llm.train import distribution

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )
    devices = [f"CPU:{index}" for index in range(count)]
    return distribution("mirrored", devices=devices)


def main(kind: str, out: str, *names: str) -> None:
    """Runs the cases and writes their results."""
    from keras_llm.train import distribution

    kind, _, mesh = kind.partition(":")
    options = {"mesh": mesh} if mesh else {}
    chosen = mirrored() if kind == "mirrored" else distribution(kind, **options)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        weights, logs = run(chosen, CASES[name])
        if not chosen.chief:
            continue
        np.savez(folder / f"{name}.npz", *weights)
        (folder / f"{name}.json").write_text(json.dumps(logs))


if __name__ == "__main__":
    main(*sys.argv[1:])
