"""Does it fit in 4 GB? The estimate's answer, beside that of a limited process.

    python benchmarks/memory.py [--json PATH] [--limit GIB] [--by-kernel]
        [--cases NAME ...]

Each configuration trains three steps by `fit` in a process of its own that
cannot have more memory than the limit: this process looks at its peak of
resident memory 50 times a second and kills it. With --by-kernel a cgroup does,
which leaves out the pages of libraries (about 0.4 GB), as they can be read
again. A program of TensorFlow maps far more address space than it uses, so
that RLIMIT_AS and RLIMIT_DATA would say nothing.

The table has the estimate, the most that the process held (resident, with the
program), and both answers. Everything about a case is in `CASES`.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from keras_llm import files
from keras_llm.config import DecoderConfig
from keras_llm.estimate_memory import PROCESS, memory_per_device
from keras_llm.estimate_setup import Setup

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup/memory")
STEPS = 3
BASE = {
    "vocabulary_size": 8192,
    "context_length": 256,
    "num_layers": 6,
    "hidden_dim": 384,
    "num_heads": 6,
}
GPT2 = {"norm": "layer", "mlp": "gelu", "bias": "all", "rope": None}
BF16 = {"precision": "mixed_bfloat16"}


def case(
    setup: dict[str, Any], whole_loss: bool = True, **config: Any
) -> dict[str, Any]:
    """Returns a case: a config, a setup; logits are whole unless said."""
    known = {"precision": "float32", "loss_chunk": None if whole_loss else 1024}
    return {"config": BASE | config, "setup": known | setup}


CASES = {
    # These fit in 4 GB.
    "small batch": case({"batch_size": 8}),
    "bfloat16": case({"batch_size": 28} | BF16),
    "micro-batches": case({"batch_size": 48, "accumulate": 3}),
    "50k ids": case({"batch_size": 8}, vocabulary_size=50304, num_layers=4),
    "remat": case({"batch_size": 32, "remat": True}, num_layers=10),
    # These do not.
    "large batch": case({"batch_size": 38}),
    "long rows": case({"batch_size": 4}, context_length=1536),
    "50k ids, large batch": case(
        {"batch_size": 16} | BF16, vocabulary_size=50304
    ),
    "wide": case(
        {"batch_size": 1}, hidden_dim=1280, num_heads=20, num_layers=9
    ),
    "GPT-2 form, deep": case({"batch_size": 11}, num_layers=16, **GPT2),
}
SMALL = {  # seconds each, for the tests, in 1.9 GB
    "small": case({"batch_size": 2}, num_layers=2),
    "small, bfloat16": case({"batch_size": 6} | BF16, num_layers=2),
    "small, 50k ids": case(
        {"batch_size": 8}, num_layers=1, hidden_dim=96, vocabulary_size=50304
    ),
}


def estimated(described: dict[str, Any]) -> int:
    """Returns the bytes of the whole process, by estimate."""
    config = DecoderConfig.from_dict(described["config"])
    setup = Setup.from_dict(described["setup"])
    return memory_per_device(config, setup, host=True).total


def measured(
    described: dict[str, Any], limit: float, cgroup: bool = False
) -> dict[str, Any]:
    """Trains in a limited process.

    Returns:
        `fits`, and with it `peak` and `base`: resident bytes at the fullest
        and before the model was built. `by`: what limited it.

    Raises:
        RuntimeError: The process failed for another reason.
    """
    words = [sys.executable, __file__, "--child", json.dumps(described)]
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(_cgroup(limit)) if cgroup else None
        if group:
            words += ["--cgroup", str(group)]
        child = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        killed = False
        while child.poll() is None:
            if group is None and _status(child.pid, "VmHWM") > limit:
                child.kill()
                killed = True
            time.sleep(0.02)
        said, errors = child.communicate()
    by = "cgroup" if group else "watched"
    if child.returncode == 0:
        return {"fits": True, "by": by} | json.loads(said.splitlines()[-1])
    if killed or (group and child.returncode in (-9, 137)):
        return {"fits": False, "by": by, "peak": None, "base": None}
    raise RuntimeError(f"The process failed: {errors[-2000:]}")


@contextlib.contextmanager
def _cgroup(limit: float) -> Iterator[Path]:
    """A memory cgroup (version 1) with the limit; only root may make one."""
    group = CGROUP / f"keras_llm_{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(int(limit)))
        yield group
    finally:
        time.sleep(0.2)  # until the kernel has let go of the process
        group.rmdir()


def _status(process: int | str, name: str) -> int:
    """Bytes that /proc says of a process; 0 if it is gone."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line for line in text.splitlines() if line.startswith(name)]
    return int(found[0].split()[1]) * 1024 if found else 0


def train(described: dict[str, Any], cgroup: str | None) -> None:
    """What the limited process does: three steps, then two numbers."""
    if cgroup:
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from keras_llm.model import build_decoder
    from keras_llm.train import fit

    base = _status("self", "VmRSS")
    config = DecoderConfig.from_dict(described["config"])
    setup = Setup.from_dict(described["setup"])
    model = build_decoder(config, dtype=setup.precision, remat=setup.remat)
    fit(
        model,
        _batches(config, setup.batch_size),
        steps=STEPS,
        batch_size=setup.batch_size,
        accumulate=setup.accumulate,
        loss_chunk=setup.loss_chunk,
        optimizer=setup.optimizer,
        log_every=STEPS,
        validate_every=STEPS,
        checkpoint_every=STEPS,
        sample_every=STEPS,
    )
    print(json.dumps({"base": base, "peak": _status("self", "VmHWM")}))


def _batches(config: DecoderConfig, rows: int) -> Any:
    """Random packed rows."""
    import numpy as np
    import tensorflow as tf

    time_, count = config.context_length, rows * STEPS
    random = np.random.default_rng(0)
    tokens = random.integers(
        0, config.vocabulary_size, (count, time_ + 1), dtype="int32"
    )
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(np.arange(time_, dtype="int32"), (count, 1)),
        "segments": np.ones((count, time_), "int32"),
    }
    data = (inputs, tokens[:, 1:], np.ones((count, time_), "float32"))
    data = tf.data.Dataset.from_tensor_slices(data)
    return data.batch(rows, drop_remainder=True)


def compare(names: list[str], limit: float, cgroup: bool) -> list[dict]:
    """Returns a row for each case, measured one after the other."""
    rows = []
    known = CASES | SMALL
    for name in names:
        guess = estimated(known[name])
        answer = measured(known[name], limit, cgroup)
        peak, base = answer["peak"], answer["base"]
        over = peak and (guess - PROCESS) / (peak - base) - 1
        rows.append(
            {
                "name": name,
                "estimate": guess,
                "peak": peak,
                "error": over,
                "expected to fit": guess <= limit,
                "fits": answer["fits"],
                "by": answer["by"],
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def show(rows: list[dict], limit: float) -> None:
    """Prints the table."""
    table = Table(title=f"Limit {limit / GIB:g} GiB", title_justify="left")
    for name in ("case", "estimate", "peak", "error", "expected", "fits", "by"):
        table.add_column(name)
    for row in rows:
        known = row["peak"] is not None
        table.add_row(
            row["name"],
            f"{row['estimate'] / 1e9:.2f} GB",
            f"{row['peak'] / 1e9:.2f} GB" if known else "killed",
            f"{row['error']:+.0%}" if known else "",
            "yes" if row["expected to fit"] else "no",
            "yes" if row["fits"] else "no",
            row["by"],
        )
    Console().print(table)
    right = sum(row["expected to fit"] == row["fits"] for row in rows)
    print(f"{right} of {len(rows)} decided correctly.")


def main() -> None:
    """Measures, prints one table, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="PATH", help="write the rows here")
    parser.add_argument("--limit", type=float, default=4.0, help="GiB")
    parser.add_argument("--by-kernel", action="store_true", help="in a cgroup")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--cgroup", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        train(json.loads(given.child), given.cgroup)
        return
    limit = given.limit * GIB
    rows = compare(given.cases, limit, given.by_kernel)
    show(rows, limit)
    if given.json:
        files.write_text(given.json, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
