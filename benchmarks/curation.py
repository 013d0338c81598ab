"""Curation of a large corpus: MB/s of each step, memory, engines, kills.

    python benchmarks/curation.py [--size 100] [--workers 2]
        [--engine local] [--kill] [--json result.json]

Makes a corpus of so many MB (see `_web_like.py`), runs the whole recipe over
it (cleaning, Gopher's rules, exact, line and near duplicates, privacy) as
`keras-llm curate` does, and prints what each step took, and the memory of all
processes, sampled ten times a second. With `--engine dask` (or another) it
runs once more on that engine, with `--kill` once more with a worker and then
the whole run killed twice: the corpora must be equal byte for byte.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _web_like import make

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = ("train.jsonl", "heldout.jsonl", "rejects.jsonl", "curate.json")
RECIPE = (
    *("--clean", "--recipe", "gopher", "--unit", "page"),
    *("--repeated-lines", "10", "--near-duplicates", "0.7", "--privacy"),
)
PROGRAM = "from keras_llm.cli import main; main()"
MEGA = 1e6
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=100, help="MB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folder", type=Path, help="kept, and used again")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.folder or Path(scratch)
        results = measure(asked, folder)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    corpus = folder / f"corpus-{asked.size:g}"
    if not corpus.exists():
        begun = time.monotonic()
        make(corpus, int(asked.size * MEGA), asked.data)
        print(f"made {corpus} in {time.monotonic() - begun:.0f} s")
    results = {"local": run(corpus, folder / "local", "local", asked.workers)}
    report(results["local"], folder / "local")
    if asked.engine != "local":
        out = folder / asked.engine
        results[asked.engine] = run(corpus, out, asked.engine, asked.workers)
        report(results[asked.engine], out)
        print(f"{asked.engine}: {same(folder / 'local', out)}")
    if asked.kill:
        out = folder / "killed"
        total = results["local"]["wall_s"]
        results["killed"] = run_with_kills(corpus, out, asked.workers, total)
        print(f"killed and gone on with: {same(folder / 'local', out)}")
    return results


def run(
    corpus: Path,
    out: Path,
    engine: str,
    workers: int,
    meanwhile: Callable[[subprocess.Popen, float], None] | None = None,
) -> dict[str, Any]:
    """Runs the recipe; returns seconds and memory."""
    if meanwhile is None:
        for left in (out, out.with_name(out.name + ".work")):
            shutil.rmtree(left, ignore_errors=True)
    paths = map(str, sorted(corpus.iterdir()))
    command = [sys.executable, "-c", PROGRAM, "curate", *paths, *RECIPE]
    command += ["--output", str(out), "--engine", engine]
    command += ["--workers", str(workers)]
    begun, all_, one = time.monotonic(), 0.0, 0.0
    with open(out.with_suffix(".log"), "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            sizes = [memory(pid) for pid in (process.pid, *below(process.pid))]
            all_, one = max(all_, sum(sizes)), max(one, *sizes)
            if meanwhile:
                meanwhile(process, time.monotonic() - begun)
            time.sleep(0.1)
    if process.returncode and meanwhile is None:
        sys.exit(f"curate failed, see {out.with_suffix('.log')}")
    size = sum(path.stat().st_size for path in corpus.iterdir())
    wall = time.monotonic() - begun
    return {
        "engine": engine,
        "workers": workers,
        "MB": round(size / MEGA, 1),
        "wall_s": round(wall, 1),
        "MB_per_s": round(size / MEGA / wall, 2),
        "all_processes_MB": round(all_ / MEGA),
        "largest_process_MB": round(one / MEGA),
    }


def run_with_kills(
    corpus: Path, out: Path, workers: int, total: float
) -> dict[str, Any]:
    """Kills a worker, then the whole run twice, then lets it end."""
    for left in (out, out.with_name(out.name + ".work")):
        shutil.rmtree(left, ignore_errors=True)
    shares = [0.3, 0.4]
    killed = {"killed_workers": 0, "killed_runs": 0}

    def worker_then_all(process: subprocess.Popen, seconds: float) -> None:
        share, workers = shares[killed["killed_runs"]], below(process.pid)
        fresh = killed["killed_workers"] == killed["killed_runs"]
        if workers and fresh and seconds > share * total / 2:
            os.kill(workers[0], signal.SIGKILL)
            killed["killed_workers"] += 1
        elif seconds > share * total and not fresh:
            process.kill()

    for _ in range(2):
        run(corpus, out, "local", workers, worker_then_all)
        killed["killed_runs"] += 1
    return {**run(corpus, out, "local", workers, lambda *_: None), **killed}


def report(result: dict[str, Any], out: Path) -> None:
    """Prints a run, and the processor time of its steps."""
    timings = json.loads((out / "timings.json").read_text())
    cpu = sum(stage["cpu_seconds"] for stage in timings["stages"])
    print(json.dumps({**result, "cpu_s": round(cpu, 1)}))
    for stage in timings["stages"]:
        print_line(stage["stage"], stage)
        for step in stage.get("steps", []):
            print_line(f"    {step['step']}", step)


def print_line(name: str, facts: dict[str, Any]) -> None:
    size, seconds = facts["bytes"] / MEGA, facts["cpu_seconds"]
    speed = f"{size / seconds:8.1f} MB/s" if size and seconds else ""
    print(f"{name:32}{size:9.1f} MB{seconds:9.2f} s{speed}")


def same(one: Path, other: Path) -> str:
    """Says whether two corpora have the same bytes."""
    unequal = [f for f in FILES if digest(one / f) != digest(other / f)]
    return f"OTHER BYTES in {unequal}" if unequal else "the same bytes"


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def below(pid: int) -> list[int]:
    """Returns the processes that one has started, and theirs."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = list(map(int, path.read_text().split()))
        except OSError:  # it has just ended
            continue
        for child in children:
            found += [child, *below(child)]
    return found


def memory(pid: int) -> float:
    """Returns the resident bytes of a process; 0: it has just ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * PAGE


if __name__ == "__main__":
    main()
