"""XLA by trial, several steps at once, and batches made ahead."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from resume_variants import history, stop_at

from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer, TrainConfig, read_history, trial
from keras_llm.train.optimizers import AdamW
from keras_llm.train.trial import choose_jit


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


def batches():
    tokens = np.arange(16, dtype="int32").reshape(2, 8)
    return tf.data.Dataset.from_tensors((tokens, tokens)).repeat()


def trainer_of(model):
    trainer = TokenTrainer(model)
    trainer.compile(AdamW(1e-2))
    trainer.optimizer.build(model.trainable_variables)
    return trainer


def test_several_steps_at_once_are_the_same_steps(rows, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    tiny_run.train(rows, one)
    changes = {"steps_per_execution": 2, "prefetch": 1}
    with pytest.raises(KeyboardInterrupt):  # before steps 7 and 8
        tiny_run.train(rows, several, callbacks=[stop_at(4)], **changes)
    assert [line["step"] for line in history(several)] == [2, 4, 6]
    report = tiny_run.train(rows, several, **changes)
    assert (report.steps, report.tokens_per_second > 0) == (12, True)
    for ours, theirs in zip(history(several), history(one), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], rel=1e-5), name


def test_speed_leaves_out_the_execution_that_compiles(rows):
    class Clock:
        lines: list = []

    tiny_run.train(
        rows, None, steps_per_execution=2, log_every=4, sample=None,
        validation_rows=None, callbacks=[lines_of(Clock.lines)],
    )  # fmt: skip
    tokens = [line["tokens"] for line in Clock.lines]
    assert [line["step"] for line in Clock.lines] == [4, 8, 12]
    assert tokens == sorted(tokens)
    assert all(line["tokens_per_second"] > 0 for line in Clock.lines)


def lines_of(lines):
    import keras

    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: lines.append(dict(logs))
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps_per_execution": 3}, "divide log_every and steps"),
        ({"steps": 11, "steps_per_execution": 2}, "divide log_every"),
        ({"steps_per_execution": 0}, "steps_per_execution to be above zero"),
        ({"prefetch": 0}, "prefetch to be above zero"),
        ({"jit": "sometimes"}, "jit to be one of"),
        ({"loss_chunk": -1}, "loss_chunk to be a number"),
    ],
)
def test_wrong_settings_are_sentences(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**{**tiny_run.SETTINGS, **changes})


def test_trial_changes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    trainer = trainer_of(tiny_run.build())  # with dropout
    variables = [*trainer.decoder.variables, *trainer.optimizer.variables]
    before = [np.array(variable) for variable in variables]
    chosen = choose_jit(trainer, batches())
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert trainer.jit_compile is chosen
    said = capsys.readouterr().err
    assert said.startswith(f"XLA {'on' if chosen else 'off'}: ")


def test_what_xla_cannot_compile_is_off(monkeypatch, capsys):
    def measured(trainer, batches, seconds):
        if trainer.jit_compile:
            raise tf.errors.UnimplementedError(None, None, "no such kernel")
        return 0.5

    monkeypatch.setattr(trial, "measured_step", measured)
    assert choose_jit(trainer_of(tiny_run.build()), batches()) is False
    said = capsys.readouterr().err
    assert "XLA does not compile this step: no such kernel" in said
    assert "XLA off: inf ms a step with, 500 ms a step." in said


def test_choice_is_stored_and_taken_again(rows, tmp_path, monkeypatch):
    times = {False: 2.0, True: 1.0}
    monkeypatch.setattr(
        trial, "measured_step", lambda trainer, *_: times[trainer.jit_compile]
    )
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(rows, tmp_path, jit="auto", callbacks=[stop_at(6)])
    assert json.loads((tmp_path / "train.json").read_text())["jit"] is True
    times[True] = 3.0  # another trial would choose otherwise
    compiled = []
    stop = stop_at(1)
    stop.on_train_begin = lambda logs=None: compiled.append(
        stop.model.jit_compile
    )
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(rows, tmp_path, jit="auto", callbacks=[stop])
    assert compiled == [True]
    assert read_history(tmp_path / "metrics.jsonl")
