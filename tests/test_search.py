"""Sweeps that halve, stop and go on; power laws beside known ones."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import curve_fit
from tiny_run import write_rows
from typer.testing import CliRunner

from keras_llm.cli.app import app
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.search import Space, SweepConfig, fit_power_law, sweep
from keras_llm.search.halving import Halving
from keras_llm.search.power_law import LEAST
from keras_llm.search.runs import points
from keras_llm.search.space import config_at
from keras_llm.search.sweep import results

TINY = DecoderConfig(
    vocabulary_size=50,
    context_length=8,
    num_layers=1,
    hidden_dim=16,
    num_heads=2,
)
RATES = Space(learning_rate=(1e-4, 1e-1), width=(16, 32))


def told(rows: Path, **changes) -> SweepConfig:
    values = {
        "rows": str(rows),
        "config": TINY.to_dict(),
        "space": RATES.to_dict(),
        "steps": 6,
        "method": "random",
        "trials": 2,
        "workers": 2,
        "precision": "float32",
        "settings": {"batch_size": 4},
    }
    return SweepConfig(**{**values, **changes})


def loss_of(point: dict) -> float:
    """A made-up valley: best at a rate of 1e-2, better when wide."""
    return abs(np.log10(point["learning_rate"]) + 2) + 16 / point["width"]


def drain(halving: Halving, most: int = 10**6) -> list:
    """Runs trials in the mind, one at a time."""
    done = []
    while len(done) < most and (trial := halving.next()):
        halving.finish(trial.name, loss_of(trial.point))
        done.append(trial)
    return done


def test_halving_goes_on_with_the_best_third(tmp_path):
    done = drain(Halving(tmp_path / "oracle.json", RATES, rounds=3, factor=3))
    first = done[:13]  # the first bracket: 9 short, 3 longer, 1 of full length
    assert [round(9 * trial.share) for trial in first].count(1) == 9
    by_length = {
        length: [t.point for t in first if round(9 * t.share) == length]
        for length in (1, 3, 9)
    }
    best = sorted(by_length[1], key=loss_of)[:3]
    assert sorted(by_length[3], key=loss_of) == best
    assert by_length[9] == best[:1]


@pytest.mark.parametrize("cut", [1, 7, 12])
def test_a_search_that_was_cut_goes_on_as_if_it_was_not(tmp_path, cut):
    whole = drain(Halving(tmp_path / "a.json", RATES, seed=3))
    begun = drain(Halving(tmp_path / "b.json", RATES, seed=3), cut)
    again = Halving(tmp_path / "b.json", RATES, seed=3)
    assert begun + drain(again) == whole


def test_what_was_running_is_known_after_a_kill(tmp_path):
    halving = Halving(tmp_path / "a.json", RATES, seed=3)
    both = [halving.next(), halving.next()]
    again = Halving(tmp_path / "a.json", RATES, seed=3)
    assert again.running() == both
    again.finish(both[0].name, None)  # one fails: it does not go on
    assert both[0].name not in [trial.name for trial in drain(again)]


def test_a_grid_has_every_point_once(tmp_path):
    space = Space(batch_size=(2, 4), width=(16, 32), depth=(1, 2, 3))
    done = drain_constant(Halving(tmp_path / "a.json", space, "grid"))
    points_ = {tuple(sorted(trial.point.items())) for trial in done}
    assert len(done) == len(points_) == 12
    assert {trial.share for trial in done} == {1.0}


def drain_constant(halving: Halving) -> list:
    done = []
    while trial := halving.next():
        halving.finish(trial.name, 1.0)
        done.append(trial)
    return done


def test_width_changes_heads_and_mlp():
    base = TINY.replace(num_heads=4, num_kv_heads=2, head_dim=4, mlp_dim=40)
    wide = config_at(base, {"width": 32, "depth": 2})
    assert (wide.num_heads, wide.num_kv_heads, wide.mlp_dim) == (8, 4, 80)
    assert wide.head_dim == 4 and wide.num_layers == 2
    with pytest.raises(InputError, match="multiples of 4"):
        config_at(base, {"width": 30})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Space(),
        lambda: Space(learning_rate=(1e-2, 1e-3)),
        lambda: Space(width=(0,)),
        lambda: told(Path("rows"), method="halving", steps=5),
        lambda: told(Path("rows"), workers=0),
        lambda: Halving(Path("x"), RATES, "random"),
        lambda: Halving(Path("x"), RATES, "guess"),
    ],
)
def test_mistakes_are_refused(make):
    with pytest.raises(InputError, match="Expected"):
        make()


def test_a_sweep_trains_and_tells(tmp_path):
    write_rows(tmp_path / "rows")
    asked = told(tmp_path / "rows")
    said = []
    found = sweep(tmp_path / "out", asked, said.append)
    assert len(found) == len(said) == 2
    assert found[0]["score"] <= found[1]["score"]
    for row in found:
        run = tmp_path / "out" / "trials" / row["trial"] / "run"
        report = json.loads((run / "report.json").read_text())
        assert row["validation_loss"] == report["validation_loss"]
        assert row["steps"] == report["steps"] == 6
    table = (tmp_path / "out" / "trials.csv").read_text().splitlines()
    assert table[0].startswith("trial,learning_rate,width,steps,status")
    assert len(table) == 3
    assert hparams(tmp_path / "out" / "tensorboard") == 2
    # Nothing is trained again, and another sweep is another folder.
    assert sweep(tmp_path / "out", asked) == found
    with pytest.raises(InputError, match="other values of steps"):
        sweep(tmp_path / "out", told(tmp_path / "rows", steps=7))


def hparams(folder: Path) -> int:
    """Trials that TensorBoard would show."""
    found = 0
    for file in folder.rglob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags = [value.tag for value in event.summary.value]
            found += "_hparams_/session_start_info" in tags
    return found


def test_a_sweep_of_which_nothing_succeeds_says_where(tmp_path, monkeypatch):
    broken = ("-c", "raise SystemExit('no memory')")
    module = sys.modules[sweep.__module__]  # its name means the function
    monkeypatch.setattr(module, "PROGRAM", broken)
    with pytest.raises(InputError, match="log.txt"):
        sweep(tmp_path / "out", told(tmp_path / "rows"))
    rows = results(tmp_path / "out")
    assert [row["status"] for row in rows] == ["failed", "failed"]
    log = tmp_path / "out" / "trials" / rows[0]["trial"] / "log.txt"
    assert "no memory" in log.read_text()


@pytest.mark.slow
def test_a_killed_sweep_ends_as_one_that_was_not(tmp_path):
    write_rows(tmp_path / "rows")
    script = (
        "import sys; from keras_llm.search import *; "
        "sweep(sys.argv[1], SweepConfig.load(sys.argv[2]))"
    )
    told(tmp_path / "rows", trials=3, workers=1).save(tmp_path / "told.json")

    def start(name: str) -> subprocess.Popen:
        words = [sys.executable, "-c", script, tmp_path / name]
        return subprocess.Popen([*words, tmp_path / "told.json"])

    assert start("whole").wait() == 0
    first = start("cut")
    until(lambda: list((tmp_path / "cut" / "trials").glob("*/result.json")))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert start("cut").wait() == 0
    kept = ("trial", "learning_rate", "width", "validation_loss")
    whole, cut = (
        [[row[name] for name in kept] for row in results(tmp_path / name)]
        for name in ("whole", "cut")
    )
    assert whole == cut


def until(happened) -> None:
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


SIZES = np.geomspace(1e6, 1e8, 6)


def law(x, a, b, c):
    return a + b * x**-c


def test_a_known_law_is_found():
    found = fit_power_law(SIZES, law(SIZES, 1.7, 400.0, 0.34), samples=20)
    assert found.a == pytest.approx(1.7, rel=1e-3)
    assert found.c == pytest.approx(0.34, rel=1e-3)
    assert found.at(1e9) == pytest.approx(law(1e9, 1.7, 400.0, 0.34), rel=1e-4)


def test_the_fit_is_that_of_scipy():
    noise = np.random.default_rng(0).normal(0, 0.01, len(SIZES))
    losses = law(SIZES, 1.7, 400.0, 0.34) + noise
    found = fit_power_law(SIZES, losses, samples=20)
    expected, _ = curve_fit(law, SIZES, losses, p0=(1.5, 300, 0.3), maxfev=9999)
    ours, theirs = (
        np.sum((law(SIZES, *numbers) - losses) ** 2)
        for numbers in ((found.a, found.b, found.c), expected)
    )
    assert ours <= theirs * (1 + 1e-6)


def test_nine_of_ten_runs_fall_into_the_interval():
    inside = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 0.02, len(SIZES) + 1)
        sizes = np.append(SIZES, 3e8)
        losses = law(sizes, 1.7, 400.0, 0.34) + noise
        found = fit_power_law(SIZES, losses[:-1], samples=40, seed=seed)
        low, high = found.interval(sizes[-1])
        inside += low <= losses[-1] <= high
    assert 14 <= inside <= 20


@pytest.mark.parametrize(
    ("sizes", "losses", "said"),
    [
        ([1, 2, 4], [3, 2, 1], "at least 4 sizes"),
        ([1, 1, 2, 4], [3, 3, 2, 1], "at least 4 sizes"),
        ([1.0, 1.1, 1.2, 1.3], [4, 3, 2, 1], "factor of 3"),
        ([1, 2, 4, 8], [4, 3, float("nan"), 1], "are numbers"),
        ([0, 2, 4, 8], [4, 3, 2, 1], "above zero"),
        ([1, 2], [1], "a loss for each"),
    ],
)
def test_points_without_a_law_are_refused(sizes, losses, said):
    with pytest.raises(InputError, match=said):
        fit_power_law(sizes, losses)
    assert LEAST == 4


def write_run(folder: Path, parameters: int, loss: float) -> str:
    folder.mkdir()
    report = {
        "parameters": parameters,
        "tokens": 20 * parameters,
        "flops_per_token": 6 * parameters,
        "loss": loss + 1,
        "validation_loss": loss,
    }
    (folder / "report.json").write_text(json.dumps(report))
    return str(folder)


def test_the_verb_scaling_reads_runs_and_draws(tmp_path):
    runs = [
        write_run(tmp_path / str(n), n, law(n, 1.7, 400.0, 0.34))
        for n in (10**6, 10**7, 3 * 10**7, 10**8)
    ]
    assert points([Path(runs[0])], "flops")[0][0] == 6 * 20 * 1e12
    words = ["scaling", *runs, "--predict", "1B", "--json"]
    words += ["--plot", str(tmp_path / "law.png")]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    predicted = json.loads(answer.stdout)["predicted"][0]
    assert predicted["parameters"] == 1e9
    assert predicted["loss"] == pytest.approx(law(1e9, 1.7, 400.0, 0.34), 1e-3)
    assert (tmp_path / "law.png").read_bytes()[1:4] == b"PNG"
    few = CliRunner().invoke(app, ["scaling", *runs[:3]])
    assert few.exit_code == 2 and "at least 4 sizes" in few.stderr
    nothing = CliRunner().invoke(app, ["scaling", str(tmp_path)])
    assert nothing.exit_code == 2 and "no report.json" in nothing.stderr
