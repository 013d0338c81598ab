"""Are benchmarks as the lm-evaluation-harness finds them, and sooner?

    python benchmarks/harness.py [--data ../shared/data] [--steps 300]
        [--items 1000] [--rounds 2] [--folder FOLDER] [--output PATH]
    python benchmarks/harness.py --hellaswag [--vocabulary 8192]

The first trains a small model (once, kept in the folder), then evaluates it by
the library and by the harness in turns, in one process: HellaSwag, ARC-easy
and WinoGrande (`--items` of each), WikiText and some answers of GSM8K. The
harness asks the model through `lm_eval_model`, whose default is to score whole
sequences by length in batches of 16, as the harness's own `HFLM` does. Each
run is all that a user waits for: reading, prompts, model, metrics, but no
bootstrap. It fails if one number or one answer differs. The goal: choices at
least twice as fast.

`--hellaswag` asks all 10,042 items of a model with ten million weights, in a
process that is killed (kill -9) in the middle and then goes on; it fails if
something is asked twice or the process has more than 4 GB.
"""

import argparse
import json
import logging
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

METRICS = ("acc", "acc_norm", "bits_per_byte", "exact_match")
ITEMS, MOST_BYTES = 10_042, 4e9


def clocked(run: Callable[[], dict]) -> dict[str, Any]:
    """Runs it; returns what it found, with seconds of wall and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return {
        **found,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def native(subject: Any, path: Path) -> dict[str, Any]:
    """What the library finds."""
    from keras_llm.evaluate import evaluate_tasks

    found = evaluate_tasks(subject, path, bootstrap=0, progress=False)
    return _found(found.to_dict()["results"], found.samples)


def harness(model: Any, path: Path) -> dict[str, Any]:
    """What the harness finds."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    logging.disable(logging.WARNING)
    found = simple_evaluate(
        model,
        tasks=[path.stem],
        task_manager=TaskManager(
            include_path=str(path.parent), include_defaults=False
        ),
        bootstrap_iters=0,
    )
    return _found(found["results"], found["samples"])


def _found(results: dict, samples: dict) -> dict[str, Any]:
    [values], [rows] = results.values(), samples.values()
    numbers = {
        key.replace(",none", ""): value
        for key, value in values.items()
        if key.startswith(METRICS) and "stderr" not in key
    }
    rows = sorted(rows, key=lambda row: row["doc_id"])
    answers = [row["resps"][0][0] for row in rows]
    answers = [answer for answer in answers if isinstance(answer, str)]
    items = len({row["doc_id"] for row in rows})  # a row for each filter
    return {"numbers": numbers, "answers": answers, "items": items}


def check_same(task: str, ours: dict, theirs: dict) -> None:
    """Raises if one number or one answer differs."""
    if ours["numbers"].keys() != theirs["numbers"].keys():
        raise SystemExit(f"{task}: {ours['numbers']}, {theirs['numbers']}")
    for key, value in theirs["numbers"].items():
        if not math.isclose(ours["numbers"][key], value, rel_tol=1e-6):
            raise SystemExit(f"{task}/{key}: {ours['numbers'][key]}, {value}")
    if ours["answers"] != theirs["answers"]:
        raise SystemExit(f"{task}: other answers")


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Runs both in turns and prints a table."""
    import _harness_tasks
    import _small_lm

    from keras_llm.evaluate import KerasSubject, lm_eval_model

    lm = _small_lm.small_lm(args.data, args.folder, args.steps)
    limits = dict.fromkeys(_harness_tasks.CHOICES, args.items)
    limits |= {"wikitext": args.pages, "gsm8k": args.answers}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = folder
        paths = _harness_tasks.write_tasks(Path(folder), args.data, limits)
        sides: dict[str, Callable[[Path], dict]] = {
            "library": lambda path: native(KerasSubject(lm), path),
            "harness": lambda path: harness(lm_eval_model(lm), path),
        }
        rows = [_row(path, sides, args.rounds) for path in paths]
    print(
        f"\n{'task':10} {'items':>6}  {'library and harness':34} seconds, CPU"
    )
    for row in rows:
        _print(row)
    return {"parameters": lm.model.count_params(), "tasks": rows}


def _row(path: Path, sides: dict, rounds: int) -> dict[str, Any]:
    """Both sides in turns; the least time of each counts."""
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            runs[name].append(clocked(lambda run=run: run(path)))
        check_same(path.stem, runs["library"][-1], runs["harness"][-1])
    row: dict[str, Any] = {"task": path.stem, **runs["library"][0]}
    for key in ("seconds", "cpu_seconds"):
        row[key] = {n: min(r[key] for r in each) for n, each in runs.items()}
        row[f"{key}_ratio"] = row[key]["harness"] / row[key]["library"]
    del row["answers"]
    return row


def _print(row: dict[str, Any]) -> None:
    numbers = ", ".join(f"{k} {v:.4f}" for k, v in row["numbers"].items())
    times = [
        f"{row[key]['library']:7.1f} {row[key]['harness']:7.1f} "
        f"({row[f'{key}_ratio']:.1f}x)"
        for key in ("seconds", "cpu_seconds")
    ]
    per_second = row["items"] / row["seconds"]["library"]
    print(
        f"{row['task']:10} {row['items']:6}  {numbers:44} {times[0]} "
        f"CPU {times[1]}  {per_second:.1f} items/s",
        flush=True,
    )


def ten_million(args: argparse.Namespace) -> Any:
    """A model of about ten million weights that has learned nothing."""
    import _small_lm
    import keras

    import keras_llm as kl

    keras.utils.set_random_seed(0)
    texts = [_small_lm.read(args.data / name) for name in _small_lm.BOOKS]
    tokenizer = kl.BytePairTokenizer.train(texts, 8192, progress=False)
    config = kl.DecoderConfig(
        vocabulary_size=max(args.vocabulary, tokenizer.vocabulary_size),
        context_length=512,
        num_layers=6,
        hidden_dim=320 if args.vocabulary < 20_000 else 160,
        num_heads=5,
    )
    return kl.CausalLM(kl.build_decoder(config), tokenizer)


def work(args: argparse.Namespace) -> None:
    """All of HellaSwag; prints what was found as JSON."""
    from keras_llm.evaluate import KerasSubject, evaluate_tasks

    asked = []

    class Counting(KerasSubject):
        def likelihoods(self, requests: list) -> list:
            asked.extend(requests)
            return super().likelihoods(requests)

    lm = ten_million(args)
    subject = Counting(lm)
    started, cpu = time.perf_counter(), time.process_time()
    found = evaluate_tasks(
        subject, "hellaswag", args.data, cache=args.folder / "answers.sqlite"
    )
    results = found.to_dict()["results"]["hellaswag"]
    about = {
        "parameters": lm.model.count_params(),
        "vocabulary": lm.config.vocabulary_size,
        "acc_norm": results["acc_norm,none"],
        "asked": len(asked),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(about))


def killed_and_resumed(args: argparse.Namespace) -> dict[str, Any]:
    """Kills the work in the middle, goes on, asks for it a third time."""
    args.folder.mkdir(parents=True, exist_ok=True)
    for file in args.folder.glob("answers.sqlite*"):
        file.unlink()
    command = [
        *(sys.executable, __file__, "--work", "--data", str(args.data)),
        *("--folder", str(args.folder), "--vocabulary", str(args.vocabulary)),
    ]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while (kept := _kept(args.folder)) < 2 * ITEMS:
        if first.poll() is not None:
            raise SystemExit("The work ended before it could be killed.")
        time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = _kept(args.folder)
    print(f"killed with {kept:,} answers kept", flush=True)
    runs = [json.loads(subprocess.check_output(command)) for _ in range(2)]
    for run in runs:
        print(run, flush=True)
    second, third = runs
    unique = second["asked"] + kept
    if third["asked"] or not 4 * ITEMS * 0.99 < unique <= 4 * ITEMS:
        raise SystemExit(f"asked twice: {kept} kept, then {second}, {third}")
    if second["peak_bytes"] > MOST_BYTES:
        raise SystemExit(f"more than {MOST_BYTES:,.0f} bytes: {second}")
    return {"kept": kept, "resumed": second, "again": third}


def _kept(folder: Path) -> int:
    """Answers on the disk so far."""
    import sqlite3

    path = folder / "answers.sqlite"
    if not path.is_file():
        return 0
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as base:
        tables = base.execute("SELECT name FROM sqlite_master").fetchall()
        if ("answers",) not in tables:
            return 0
        return base.execute("SELECT count(*) FROM answers").fetchone()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "harness"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--answers", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--hellaswag", action="store_true")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.work:
        return work(args)
    found = killed_and_resumed(args) if args.hellaswag else compare(args)
    if args.output:
        args.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
