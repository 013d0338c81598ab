"""sweep: train at many points of a space, several at a time, and compare.

The folder of a sweep:

    sweep.json      what it was started with
    oracle.json     which trials there are, and what they came to
    trials/NAME/    trial.json, log.txt, result.json and run/, as `fit` has it
    tensorboard/    HParams of all trials
    trials.csv, trials.json, sweep.png   the results
"""

import csv
import dataclasses
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.files import read_json, write_text
from keras_llm.records import Record
from keras_llm.search.halving import METHODS, Halving, Trial
from keras_llm.search.space import Space, config_at, settings_at
from keras_llm.search.trial import LOG, RESULT, write_trial

SWEEP, ORACLE, TRIALS = "sweep.json", "oracle.json", "trials"
TABLE, JSON = "trials.csv", "trials.json"
PROGRAM = ("-m", "keras_llm.search.trial")
WINDOWS = 10  # lines of a trial's history
FREE = ("workers",)  # may change when a sweep is continued
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig(Record):
    """What a sweep is started with; sweep.json.

    Args:
        rows: Folder of packed rows; validated on its held-out part.
        config: The decoder at the middle of it all, as a dictionary.
        space: What to change, a `Space` as a dictionary.
        steps: Of a trial of full length.
        method: "halving", "random" or "grid" (see `halving`).
        rounds, factor: Of "halving": 3 rounds of factor 3 begin at a ninth
            of the steps.
        trials: Most trials; None for as many as the method has.
        workers: Trials at a time, each a process. Default: 1.
        precision: "auto", "float32" or "mixed_bfloat16".
        settings: Further settings of `train.fit`.
        seed: Of points, weights and rows.

    Raises:
        InputError: A value is out of range, or a short trial would have no
            step.

    Example:

    >>> told = SweepConfig(rows="runs/rows", config={}, steps=900,
    ...     space={"learning_rate": (1e-4, 1e-2)})
    >>> told.method, told.rounds
    ('halving', 3)
    """

    rows: str
    config: dict[str, Any]
    space: dict[str, Any]
    steps: int
    method: str = "halving"
    rounds: int = 3
    factor: int = 3
    trials: int | None = None
    workers: int = 1
    precision: str = "auto"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        self._one_of("method", METHODS)
        self._positive("steps", "rounds", "trials", "workers")
        self._whole("factor", 2, 1000)
        shortest = self.factor ** (self.rounds - 1)
        if self.method == "halving" and self.steps < shortest:
            raise InputError(
                f"Expected at least {shortest} steps: the shortest trials "
                f"have 1/{shortest} of them. Received: {self.steps}. Raise "
                "steps, or lower rounds."
            )


def sweep(
    out: str | os.PathLike,
    told: SweepConfig,
    on_result: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Runs a sweep to its end; the same call continues a stopped one.

    Args:
        out: Its folder.
        told: What to do.
        on_result: Called with the row of each trial that ended.

    Returns:
        A row for each trial, the best of full length first.

    Raises:
        InputError: The folder holds a sweep that was started with something
            else, or no trial succeeded.

    Example:

    >>> import tempfile
    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> told = SweepConfig(rows="runs/rows", config=config.to_dict(),
    ...     steps=900, space={"width": (30,)})
    >>> sweep(tempfile.mkdtemp(), told)
    Traceback (most recent call last):
        ...
    keras_llm.errors.InputError: Expected widths that are multiples of 4, \
the size of a head. Received: 30.
    """
    from keras_llm.train.folder import only_process

    folder = Path(out)
    with only_process(folder):
        _check_unchanged(folder, told)
        space = Space.from_dict(told.space)
        base = DecoderConfig.from_dict(told.config)
        for width in space.width:
            config_at(base, {"width": width})  # refused before any is trained
        halving = Halving(
            folder / ORACLE,
            space,
            told.method,
            told.rounds,
            told.factor,
            told.trials,
            told.seed,
        )
        _run(folder, told, halving, on_result)
        rows = results(folder)
        write_table(folder, rows)
    if not any(row["status"] == "done" for row in rows):
        raise InputError(
            "Expected a trial that succeeds. Received: none did. The last one "
            f"says in {folder / TRIALS / rows[-1]['trial'] / LOG} why."
        )
    return rows


def results(folder: Path) -> list[Row]:
    """Returns a row for each trial, done or failed; the best comes first.

    Trials of full length come before shorter ones, whose losses cannot be
    compared with theirs.

    Raises:
        InputError: The folder holds no sweep.
    """
    told = SweepConfig.load(folder / SWEEP)
    rows = []
    for place in sorted((folder / TRIALS).glob("*/")):
        task = read_json(place / "trial.json")
        row = {"trial": place.name, **task["point"]}
        row["steps"] = task["settings"]["steps"]
        found = place / RESULT
        done = read_json(found) if found.is_file() else {}
        row["status"] = "done" if done else "failed"
        for name in ("parameters", "tokens", "flops", "loss", "seconds"):
            row[name] = done.get(name)
        row["validation_loss"] = done.get("validation_loss")
        row["score"] = score(done) if done else None
        rows.append(row)

    def order(row: Row) -> tuple:
        no_loss = row["score"] is None
        return no_loss, row["steps"] != told.steps, row["score"], row["trial"]

    return sorted(rows, key=order)


def score(result: Row) -> float:
    """Returns the loss that counts: on held-out rows, if there are any."""
    found = result["validation_loss"]
    return result["loss"] if found is None else found


def write_table(folder: Path, rows: list[Row]) -> None:
    """Writes trials.csv and trials.json."""
    write_text(folder / JSON, json.dumps(rows, indent=2) + "\n")
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_text(folder / TABLE, text.getvalue())


def _check_unchanged(folder: Path, told: SweepConfig) -> None:
    """Writes sweep.json, or compares with what is there."""
    path = folder / SWEEP
    if not path.is_file():
        told.save(path)
        return
    # Through JSON, where tuples are lists.
    here = json.loads(json.dumps(told.to_dict()))
    saved = SweepConfig.load(path).to_dict()
    changed = [k for k in here if k not in FREE and here[k] != saved[k]]
    if changed:
        raise InputError(
            "Expected the same sweep as before, to continue it. Received "
            f"other values of {', '.join(changed)} than in {path}. Use "
            "another folder."
        )


def _run(
    folder: Path,
    told: SweepConfig,
    halving: Halving,
    on_result: Callable[[Row], None],
) -> None:
    """Keeps the workers busy until there is nothing more to try."""
    waiting = halving.running()  # of a sweep that was killed
    working: dict[str, subprocess.Popen] = {}
    try:
        while True:
            while len(working) < told.workers:
                trial = waiting.pop(0) if waiting else halving.next()
                if trial is None:
                    break
                working[trial.name] = _start(folder, told, trial)
            if not working:
                return
            for name in _ended(working):
                del working[name]
                found = folder / TRIALS / name / RESULT
                done = read_json(found) if found.is_file() else None
                halving.finish(name, score(done) if done else None)
                on_result(
                    next(r for r in results(folder) if r["trial"] == name)
                )
            time.sleep(0.05)
    finally:
        for process in working.values():
            process.terminate()
        for process in working.values():
            process.wait()


def _ended(working: dict[str, subprocess.Popen]) -> list[str]:
    return [n for n, p in working.items() if p.poll() is not None]


def _start(folder: Path, told: SweepConfig, trial: Trial) -> subprocess.Popen:
    """Starts the process of a trial, with its part of the cores."""
    place = folder / TRIALS / trial.name
    steps = max(1, round(told.steps * trial.share))
    every = max(1, steps // WINDOWS)
    settings = {
        "log_every": every,
        "validate_every": WINDOWS * every,
        "checkpoint_every": WINDOWS // 2 * every,
        "sample_every": every,
        "keep": 1,
        "seed": told.seed,
        **told.settings,
        **settings_at(trial.point),
        "steps": steps,
    }
    config = config_at(DecoderConfig.from_dict(told.config), trial.point)
    task = {
        "point": trial.point,
        "rows": told.rows,
        "config": config.to_dict(),
        "settings": settings,
        "precision": told.precision,
    }
    if not (place / "trial.json").is_file():
        write_trial(place, trial.name, task)
    cores = max(1, len(os.sched_getaffinity(0)) // told.workers)
    environment = dict(os.environ)
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        environment.setdefault(name, str(cores))
    with open(place / LOG, "a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, *PROGRAM, str(place)],
            stdout=log,
            stderr=log,
            env=environment,
        )
