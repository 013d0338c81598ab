"""Training speed and memory: ours beside others, and what each lever does.

    python benchmarks/train_step.py [--part PART ...] [--json PATH]
        [--rounds 5] [--steps 5] [--cores N]

Parts (default: all): `SIZE/PRECISION` with the sizes narrow, base and wide of
`_train_peers.py` and float32 or mixed_bfloat16, and `levers`.

A part of the first kind compares GPT-2 of one size in one process,
alternately: ours is the whole step of `train.fit` (packed rows with segments,
loss, perplexity, accuracy, gradient norm); "stock fit" is our decoder under
Keras' own step and loss; "step alone" is ours in a loop without `fit`.
KerasHub is `GPT2CausalLM.fit`, with XLA (its default) and without. PyTorch is
a nanoGPT-style step (autocast, scaled_dot_product_attention, fused AdamW),
eager and with torch.compile. All use AdamW and clip gradients at norm 1.

`levers` trains the base size with 50,304 ids, once for each lever and round,
in a process of its own, because memory that was used once is not given back.

Times are wall-clock: trust them on an idle machine only. Others in between
slow PyTorch most, whose threads wait for each other at every operation.
`tokens/cpu_s` counts processor time instead, of use with `--cores 1`. Each
part runs in a process of its own, and its rows are written when it is done.
"""

import argparse
import functools
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _pairs
import _train_peers as peers

PRECISIONS = ("float32", "mixed_bfloat16")
LEVERS_SIZE = peers.SIZES["base"]._replace(vocabulary=50304)
WHOLE = {"loss_chunk": None}
SLICED = {"loss_chunk": 512}
BF16 = "mixed_bfloat16"

# What differs from logits taken whole in bfloat16.
LEVERS: dict[str, dict[str, Any]] = {
    "none": WHOLE,
    "float32": WHOLE | {"precision": "float32"},
    "float16": WHOLE | {"precision": "mixed_float16"},
    "jit": WHOLE | {"jit_compile": True},
    "float32, jit": WHOLE | {"precision": "float32", "jit_compile": True},
    "steps_per_execution 5": WHOLE | {"steps_per_execution": 5},
    "optimizer_state bfloat16": WHOLE | {"state_dtype": "bfloat16"},
    "loss_chunk 512": SLICED,
    "loss_chunk 256": {"loss_chunk": 256},
    "remat": WHOLE | {"remat": True},
    "accumulate 4": WHOLE | {"accumulate": 4},
    "loss_chunk, remat": SLICED | {"remat": True},
    "loss_chunk, remat, accumulate 4, state": {
        **SLICED,
        "remat": True,
        "accumulate": 4,
        "state_dtype": "bfloat16",
    },
}


def parts() -> list[str]:
    """Returns the names of all parts."""
    compared = [f"{size}/{name}" for size in peers.SIZES for name in PRECISIONS]
    return [*compared, "levers"]


def contestants() -> Iterator[tuple[str, Callable]]:
    """Yields names and makers, ours first, and who is not installed."""
    hub, torch = peers.keras_hub_fit, peers.torch_step
    yield "keras_llm fit", peers.ours
    yield "keras_llm step alone", peers.alone
    yield "keras_llm decoder, stock fit", peers.stock
    for package, name, make in (
        ("keras_hub", "KerasHub fit, XLA", functools.partial(hub, jit=True)),
        ("keras_hub", "KerasHub fit", hub),
        ("torch", "PyTorch eager", torch),
        ("torch", "torch.compile", functools.partial(torch, compiled=True)),
    ):
        if importlib.util.find_spec(package):
            yield name, make
        else:
            print(f"{package} is not installed: {name} is left out.")


def compare(part: str, rounds: int, steps: int) -> dict[str, Any]:
    """Measures all contestants of one size and precision."""
    from keras_llm.train import flops_per_token, measured_peak

    name, precision = part.split("/")
    size = peers.SIZES[name]
    data = peers.batches(steps, size)
    runs = {
        title: make(size, precision, data, steps)
        for title, make in contestants()
    }
    work = steps * size.rows * size.time
    rows = _pairs.compare(runs, rounds, work=work, unit="tokens")
    flops = flops_per_token(peers.our_decoder(size, precision), size.time)
    peak = measured_peak(precision.removeprefix("mixed_"))
    for row in rows:
        row["MFU"] = row["tokens/s"] * flops / peak
    return {"size": size._asdict(), "peak_flops": peak, "rows": rows}


def pull(name: str, steps: int) -> dict[str, Any]:
    """Trains with one lever in this process; returns its speed and memory."""
    options = dict(LEVERS[name])
    model = peers.our_decoder(
        LEVERS_SIZE, options.pop("precision", BF16), options.pop("remat", False)
    )
    compiled = {
        key: options.pop(key)
        for key in ("jit_compile", "steps_per_execution")
        if key in options
    }
    each = compiled.get("steps_per_execution", 1)
    steps = -(-steps // each) * each
    trainer = peers.trainer(model, compiled=compiled, **options)
    data = peers.batches(steps, LEVERS_SIZE)
    before = _peak()
    peers.fitted(trainer, data, each)()  # compiles
    wall, cpu = time.perf_counter(), time.process_time()
    peers.fitted(trainer, data, steps)()
    wall = time.perf_counter() - wall
    cpu = time.process_time() - cpu
    tokens = steps * LEVERS_SIZE.rows * LEVERS_SIZE.time
    return {
        "name": name,
        "tokens/s": tokens / wall,
        "tokens/cpu_s": tokens / cpu,
        "memory_MB": (_peak() - before) / 2**20,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def levers(names: list[str], rounds: int, steps: int) -> dict[str, Any]:
    """Measures each lever in processes of its own, in turn."""
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name in names:
            row = _child(["--lever", name, "--steps", str(steps)])
            print(json.dumps(row), file=sys.stderr)  # a long wait without
            known = best.setdefault(name, row)
            for key in ("tokens/s", "tokens/cpu_s"):
                known[key] = max(known[key], row[key])
    return {"size": LEVERS_SIZE._asdict(), "rows": list(best.values())}


def _child(words: list[str]) -> dict[str, Any]:
    """Runs this program in another process; returns its last line."""
    done = subprocess.run(
        [sys.executable, __file__, *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *said, last = done.stdout.splitlines()
    print("\n".join(said), end="\n" if said else "")
    return json.loads(last)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = _pairs.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cores", type=int, help="use only so many cores")
    parser.add_argument("--part", nargs="+", choices=parts(), default=parts())
    parser.add_argument(
        "--levers", nargs="+", choices=list(LEVERS), default=list(LEVERS)
    )
    # What a child is asked for.
    parser.add_argument("--lever", choices=LEVERS, help=argparse.SUPPRESS)
    parser.add_argument("--compare", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measures part by part, prints tables, writes JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = arguments()
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    os.sched_setaffinity(0, cores)  # before the libraries count them
    if options.lever:
        return print(json.dumps(pull(options.lever, options.steps)))
    if options.compare:
        found = compare(options.compare, options.rounds, options.steps)
        return print(json.dumps(found))
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"Load average {load:.1f}: do not trust ratios measured now.")
    known = Path(options.json) if options.json else None
    results = json.loads(known.read_text()) if known and known.exists() else {}
    for part in options.part:
        start = os.getloadavg()[0]
        if part == "levers":
            found = levers(options.levers, options.rounds, options.steps)
        else:
            counts = {"--rounds": options.rounds, "--steps": options.steps}
            words = [str(word) for pair in counts.items() for word in pair]
            found = _child(["--compare", part, *words])
        found |= {
            "cores": len(cores),
            "load_average": [start, os.getloadavg()[0]],
        }
        _pairs.show(part, found["rows"])
        results[part] = found
        _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
