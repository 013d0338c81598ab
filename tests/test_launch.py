"""`keras-llm launch`: workers that start again together when one dies."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import distributed_fit
import pytest
import tiny_run
from test_cli_corpus import run as run_verb
from test_distribution import assert_same_training, history

from keras_llm.cli import launch
from keras_llm.cli.workers import Group

NOTED = """
import json, os, sys
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
starts = f"starts{index}"
count = os.path.getsize(starts) if os.path.exists(starts) else 0
open(starts, "a").write("x")
"""


def group(script: str, workers: int = 2, restarts: int = 0):
    """Runs a script; returns the exit code and the lines."""
    lines: list[str] = []
    command = [sys.executable, "-c", script]
    code = Group(command, workers, lines.append).run(restarts)
    return code, lines


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_each_worker_gets_its_place_in_one_cluster():
    code, lines = group(
        "import os, sys; print(os.environ['TF_CONFIG']);"
        "print('error', file=sys.stderr)",
        workers=3,
    )
    assert code == 0 and len(lines) == 6
    found = sorted(line for line in lines if "cluster" in line)
    configs = [json.loads(line[4:]) for line in found]
    assert [c["task"]["index"] for c in configs] == [0, 1, 2]
    assert len(set(configs[0]["cluster"]["worker"])) == 3
    assert configs[0]["cluster"] == configs[2]["cluster"]
    assert "[1] error" in lines


def test_all_start_again_when_one_is_killed():
    code, lines = group(
        NOTED + "import signal, time\n"
        "if index == 1 and count < 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(0 if count == 2 else 60)\n",
        restarts=5,
    )
    assert code == 0
    assert lines.count("[1] was killed by signal 9") == 2
    assert "starting all again (4 more times)" in lines
    assert [Path(f"starts{i}").stat().st_size for i in (0, 1)] == [3, 3]


def test_restarts_come_to_an_end():
    code, lines = group(NOTED + "sys.exit(7)", workers=1, restarts=2)
    assert code == 7
    assert Path("starts0").stat().st_size == 3
    assert lines.count("[0] ended: 7") == 3


def test_a_mistake_is_not_repeated():
    code, lines = group(NOTED + "sys.exit(2)", workers=1, restarts=3)
    assert code == 2
    assert Path("starts0").stat().st_size == 1


def test_gpus_are_shared_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    script = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    assert sorted(group(script)[1]) == ["[0] 4,6", "[1] 5,7"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_reaches_the_workers_and_nothing_starts_again(number):
    worker = (
        "import signal, sys, time\n"
        "def end(*_): print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    main = (
        "import functools, sys; from keras_llm.cli.workers import Group\n"
        f"group = Group([sys.executable, '-c', {worker!r}], 2,"
        " functools.partial(print, flush=True))\n"
        "sys.exit(group.run(3))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", main], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = [process.stdout.readline() for _ in range(2)]
        process.send_signal(number)
        rest = process.stdout.read()
    assert sorted(ready) == ["[0] ready\n", "[1] ready\n"]
    assert sorted(rest.split("\n")) == ["", "[0] saved", "[1] saved"]
    assert process.returncode == 0


def test_no_worker_outlives_the_group():
    code, lines = group(
        NOTED + "import time\n"
        "print(os.getpid(), flush=True)\n"
        "if index: time.sleep(0.5); sys.exit(3)\n"
        "time.sleep(60)\n"
    )
    assert code == 3
    for line in lines:
        if line.split()[1].isdigit():
            with pytest.raises(ProcessLookupError):
                os.kill(int(line.split()[1]), 0)


def test_the_verb_runs_another_verb(monkeypatch):
    started = []

    class Fake(Group):
        def run(self, restarts=0):
            started.append((self.command, self.workers, restarts))
            return 0

    monkeypatch.setattr(launch, "Group", Fake)
    words = ("train", "runs/rows", "--steps", "9")
    answer = run_verb("launch", "--workers", 3, "--restarts", 1, "--", *words)
    assert answer.exit_code == 0
    assert started == [([*launch.PROGRAM, *words], 3, 1)]
    answer = run_verb("launch", "--workers", 0, "--", *words)
    assert answer.exit_code == 2 and "at least one worker" in answer.stderr


def test_a_mistake_of_the_verb_comes_through():
    lines: list[str] = []
    code = Group([*launch.PROGRAM, "train"], 1, lines.append).run(3)
    assert code == 2
    assert any("--steps or --minutes" in line for line in lines)


# === Training that is killed ===


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


def train(rows, out: Path, *faults: str) -> list[str]:
    """Trains with two workers that meet faults; returns what they say."""
    script = [sys.executable, distributed_fit.__file__, "multi_worker"]
    lines: list[str] = []
    command = [*script, str(rows.folder), str(out), *faults]
    code = Group(command, 2, lines.append).run(len(faults))
    assert code == 0, lines
    return lines


def test_a_killed_worker_costs_time_but_no_step(rows, tmp_path):
    tiny_run.train(
        rows, whole := tmp_path / "whole", tiny_run.build(), accumulate=2
    )
    lines = train(rows, out := tmp_path / "out", "1:8")
    assert "[1] was killed by signal 9" in lines
    assert "[1] done 1" in lines
    assert_same_training(out, whole)


def fault(chance: random.Random) -> str:
    """A worker, and a step, a checkpoint or a time at which it dies."""
    if chance.random() < 0.3:
        return "0:saving"  # only the chief saves
    step, seconds = chance.randint(1, 6), chance.uniform(0, 1)
    moment = chance.choice([f"{step}", f"{seconds:.3f}s"])
    return f"{chance.randint(0, 1)}:{moment}"


@pytest.mark.long
def test_twenty_deaths_change_no_bit(rows, tmp_path):
    train(rows, whole := tmp_path / "whole")
    deaths, chance = 0, random.Random(20)
    last = f"checkpoints/step-{tiny_run.STEPS:08d}"
    for number in range(20):
        faults = [fault(chance) for _ in range(5)]
        train(rows, out := tmp_path / f"out{number}", *faults)
        assert history(out) == history(whole), faults
        for name in ("model", "optimizer"):
            one, other = (
                (folder / last / f"{name}.safetensors").read_bytes()
                for folder in (out, whole)
            )
            assert one == other, faults
        deaths += len((out / "killed").read_text().splitlines())
        if deaths >= 20:
            break
    assert deaths >= 20
