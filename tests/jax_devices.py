"""What tests on JAX run in a process of its own with four virtual devices.

`python tests/jax_devices.py WHAT ...`, see `main`; `start` runs it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed_run
import numpy as np
import tiny_run

DEVICES = 4


def start(*words: Any, devices: int = DEVICES, **environment: str) -> Any:
    """Starts this file on JAX; `test_distribution.finish` waits for it."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": flags,
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def distribution(kind: str) -> Any:
    """Returns a distribution by its kind, with the mesh after a colon."""
    from keras_llm import train

    kind, _, mesh = kind.partition(":")
    return train.distribution(kind, **({"mesh": mesh} if mesh else {}))


def steps(out: str, cases: str, *kinds: str) -> None:
    """Runs cases of `distributed_run` on each kind of distribution."""
    for kind in kinds:
        chosen = distribution(kind)
        folder = Path(out) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name in cases.split(","):
            weights, logs = distributed_run.run(
                chosen, distributed_run.CASES[name]
            )
            if chosen.chief:
                np.savez(folder / f"{name}.npz", *weights)
                (folder / f"{name}.json").write_text(json.dumps(logs))


def fit(rows: str, out: str, *kinds: str) -> None:
    """One run of `fit`, which goes on with another kind after a stop.

    All but the last kind stop after their first checkpoint; the last one
    may be "stop", which does nothing.
    """
    import keras

    from keras_llm.data import open_rows

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if (logs or {})["step"] == 6:
                raise RuntimeError("stopped")

    for kind in kinds:
        if kind == "stop":
            return
        last = kind == kinds[-1]
        chosen = distribution(kind)
        with chosen.scope():
            model = tiny_run.build()
        try:
            tiny_run.train(
                open_rows(rows),
                Path(out),
                model,
                accumulate=2,
                ema=0.9,
                callbacks=[] if last else [Stop()],
            )
        except RuntimeError as error:
            if last or str(error) != "stopped":
                raise
    model = chosen.local(model)
    if chosen.chief:
        tokens = np.arange(16, dtype="int32").reshape(2, 8)
        np.save(Path(out) / "logits.npy", np.asarray(model(tokens)))


def layouts(out: str, *kinds: str) -> None:
    """Builds every config; notes shapes on a device, and wrong logits."""
    import dataclasses

    import contract

    from keras_llm.model import build_decoder

    found: dict[str, dict] = {kind: {} for kind in kinds}
    tokens = contract.tokens_of(4, 6)
    for name, config in contract.CONFIGS.items():
        config = dataclasses.replace(config, vocabulary_size=64)
        alone = build_decoder(config, "float32")
        contract.scramble(alone)
        expected = np.asarray(alone(tokens))
        for kind in kinds:
            with distribution(kind).scope():
                model = build_decoder(config, "float32")
            model.set_weights(alone.get_weights())
            found[kind][name] = {
                "shapes": {
                    v.path: v.value.addressable_shards[0].data.shape
                    for v in model.variables
                },
                "width": config.num_heads * config.head_dim,
                "wrong": float(
                    np.abs(np.asarray(model(tokens)) - expected).max()
                ),
            }
    Path(out).write_text(json.dumps(found))


def main(what: str, *words: str) -> None:
    """Runs one of the functions above."""
    {"steps": steps, "fit": fit, "layouts": layouts}[what](*words)


if __name__ == "__main__":
    main(*sys.argv[1:])
