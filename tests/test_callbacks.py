"""What a run writes: history, samples, TensorBoard, the progress line."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from rich.console import Console

from keras_llm.errors import InputError
from keras_llm.train import (
    MetricsFile,
    ProgressLine,
    Run,
    Samples,
    StopOnNan,
    read_history,
)
from keras_llm.train.progress_line import PLAIN_EVERY

LOGS = {
    "step": 2,
    "loss": 2.0,
    "perplexity": 7.4,
    "learning_rate": 1e-3,
    "tokens_per_second": 12_345.0,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder and its report."""
    rows = tiny_run.write_rows(tmp_path_factory.mktemp("rows"))
    out = tmp_path_factory.mktemp("out")
    texts = ["one", "two"]
    return out, tiny_run.train(rows, out, sample=lambda model: texts)


def events(folder: Path) -> dict:
    """Tag -> step -> value, read with TensorBoard's own reader."""
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.util import tensor_util

    found: dict = {}
    for file in sorted(folder.glob("events*")):
        loader = event_file_loader.EventFileLoader(str(file))
        for event in loader.Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, {})[event.step] = array
    return found


def test_tensorboard_has_the_numbers_of_the_history(trained):
    out, _ = trained
    found = events(out / "tensorboard")
    history = read_history(out / "metrics.jsonl")
    for name in ("loss", "perplexity", "gradient_norm", "learning_rate"):
        for line in history:
            value = found[f"train/{name}"][line["step"]]
            assert float(value) == pytest.approx(line[name], rel=1e-6)
    assert set(found["validation/loss"]) == {4, 8, 12}
    assert set(found["speed/tokens_per_second"]) >= {4, 12}
    assert set(found["speed/mfu"]) >= {4, 12}


def test_tensorboard_has_samples_and_settings_as_text(trained):
    found = events(trained[0] / "tensorboard")
    assert set(found["samples"]) == {4, 8, 12}
    assert found["samples"][12].tolist() == [b"one", b"two"]
    text = found["settings"][0].item().decode()
    settings = json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
    assert settings["settings"]["learning_rate"] == 1e-2
    assert settings["config"]["hidden_dim"] == 16


def test_history_lines_are_means_over_tokens(trained):
    history = read_history(trained[0] / "metrics.jsonl")
    for line in history:
        assert line["perplexity"] == pytest.approx(
            np.exp(line["loss"]), rel=1e-5
        )
    assert history[-1]["tokens"] == trained[1].tokens
    assert history[-1]["loss"] < history[0]["loss"]


def test_history_is_cut_at_the_resumed_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"step": 8, "lo')
    MetricsFile(path, step=4)
    assert path.read_text() == '{"step": 2}\n{"step": 4}\n'


def test_damaged_history_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\n{"ste\n{"step": 6}\n')
    with pytest.raises(InputError, match="JSON object in every line"):
        MetricsFile(path, step=4)


def test_infinite_perplexity_is_null(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.on_epoch_end(0, {"step": 1, "loss": 99.0, "perplexity": float("inf")})
    assert read_history(file.path)[0]["perplexity"] is None


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_stops_where_numbers_end(name, value):
    logs = {"step": 7, "loss": 1.0, "gradient_norm": 1.0, name: value}
    with pytest.raises(InputError, match="at step 7.*learning_rate below 0.1"):
        StopOnNan(0.1).on_epoch_end(0, logs)


def test_samples_come_when_due_and_at_the_end():
    run = Run(total_steps=7)
    samples = Samples(run, lambda decoder: "text", every=4, path=None)
    nothing = {"decoder": None, "optimizer": None}
    samples.set_model(type("Trainer", (), nothing)())
    due = []
    for run.step in range(1, 8):
        samples.on_epoch_end(0)
        due += [run.step] if samples.texts else []
    assert due == [4, 7]


def shown(terminal: bool, monkeypatch) -> str:
    run, file = Run(total_steps=4), io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=150)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with ProgressLine(run, console) as line:
        for step in range(1, 5):
            run.step = step
            line.on_train_batch_begin(0)
            now[0] += PLAIN_EVERY / 2
            line.on_epoch_end(0, {**LOGS, "step": step})
    return file.getvalue()


def test_plain_lines_every_ten_seconds(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 2/4", "step 4/4"]
    assert "loss 2.000  ppl 7.40  lr 0.001  12,345 tok/s" in lines[0]
    assert lines[0].endswith("left 0:10")


def test_live_line_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = shown(True, monkeypatch)
    assert "4/4" in text and "12,345 tok/s" in text


def test_a_history_that_lost_lines_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n')
    MetricsFile(path, 10)
    with pytest.raises(InputError, match="up to step 20.*up to step 10"):
        MetricsFile(path, 20)
