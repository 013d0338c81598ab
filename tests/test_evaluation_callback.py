"""Evaluations while a model trains: when, where, and after a stop."""

import json
import math
import shutil

import keras
import numpy as np
import pytest
from report_findings import Everything
from tiny_run import build, train, write_rows

from keras_llm.errors import InputError
from keras_llm.evaluate import Curves, Evaluation, Measure, write_summaries
from keras_llm.train import read_history


class Weight:
    """A finding that tells what the model is and when it was looked at."""

    title = "Weight"

    def __init__(self, value, step, part="weight"):
        self._measures = {
            f"{part}/size": Measure(value, 0.1, None, False),
            f"{part}/step": Measure(float(step), None, None, None),
        }

    def measures(self):
        return self._measures

    def blocks(self):
        return []

    def to_dict(self):
        return {}


def size_of(model):
    return float(sum(np.abs(np.array(w)).sum() for w in model.get_weights()))


def linear():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(model, callbacks, epochs=3, steps=4, **options):
    data = np.ones((steps, 1), "float32")
    return model.fit(
        *(data, data),
        batch_size=1,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
        **options,
    )


def steps_in(folder):
    return [line["step"] for line in read_history(folder / "history.jsonl")]


def test_keras_fit_looks_every_so_many_steps(tmp_path):
    model, seen = linear(), []

    def evaluate(step):
        assert int(model.optimizer.iterations) == step
        seen.append(step)
        return [Weight(size_of(model), step)]

    look = Evaluation(evaluate, every_steps=5, folder=tmp_path / "reports")
    history = fit(model, [look], epochs=3, steps=4).history
    assert seen == [5, 10, 12]  # the last step, too
    # In the logs until there are newer ones; nothing before the first.
    assert history["weight/step"] == [5, 12]
    names = sorted(path.name for path in (tmp_path / "reports").iterdir())
    assert names == [
        *("curves", "history.jsonl"),
        *(f"step-000000{step:02d}" for step in seen),
    ]
    found = json.loads(
        (tmp_path / "reports/step-00000010/results.json").read_text()
    )
    assert found["title"] == "Evaluation: step 10"
    assert found["measures"]["weight/step"]["value"] == 10
    page = (tmp_path / "reports/curves/report.html").read_text()
    assert "3 evaluations, from step 5 to step 12" in page
    assert page.count("data:image/png;base64,") == 1


def test_other_callbacks_see_the_measures(tmp_path):
    model = linear()
    look = Evaluation(lambda step: [Weight(-step, step)], every_epochs=1)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best-{epoch}.weights.h5",
        monitor="weight/size",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
    )
    stop = keras.callbacks.EarlyStopping("weight/size", mode="max", patience=1)
    fit(model, [look, best, stop], epochs=9)
    assert [p.name for p in tmp_path.iterdir()] == ["best-1.weights.h5"]
    assert stop.stopped_epoch == 1


def test_a_resumed_keras_fit_goes_on_in_the_history(tmp_path):
    def evaluate(step):
        return [Weight(step, step)]

    def look():
        return Evaluation(evaluate, every_steps=3, folder=tmp_path)

    model = linear()
    fit(model, [look()], epochs=2)  # looks at 3, 6, 8
    assert steps_in(tmp_path) == [3, 6, 8]
    saved = model.get_weights(), [v.numpy() for v in model.optimizer.variables]
    fit(model, [look()], epochs=1)
    assert steps_in(tmp_path) == [3, 6, 8, 9, 12]
    model.set_weights(saved[0])
    for variable, value in zip(
        model.optimizer.variables, saved[1], strict=True
    ):
        variable.assign(value)
    fit(model, [look()], epochs=1, steps=2)  # from step 8 once more
    assert steps_in(tmp_path) == [3, 6, 8, 9, 10]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows"))


class Stop(Exception):
    pass


class StopAt(keras.callbacks.Callback):
    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_begin(self, batch, logs=None):
        if not self.left:
            raise Stop
        self.left -= 1


def our_fit(rows, out, folder, *more, every=4):
    model, seen = build(), []

    def evaluate(step):
        seen.append(step)
        return [Weight(size_of(model), step)]

    look = Evaluation(evaluate, every_steps=every, folder=folder)
    try:
        train(rows, out, model, callbacks=[look, *more], ema=0.9)
    except Stop:
        return seen, model
    return seen, model


def test_our_fit_resumes_as_if_it_had_not_stopped(rows, tmp_path):
    whole, model = our_fit(rows, tmp_path / "a", tmp_path / "a/reports")
    assert whole == [4, 8, 12]
    lines = read_history(tmp_path / "a/reports/history.jsonl")
    # What was looked at last are the averaged weights that fit leaves.
    last = lines[-1]["measures"]["weight/size"]["value"]
    assert last == pytest.approx(size_of(model), rel=1e-6)
    reports = tmp_path / "b/reports"
    first, _ = our_fit(rows, tmp_path / "b", reports, StopAt(10))
    assert first == [4, 8]
    with open(reports / "history.jsonl", "a") as file:
        file.write('{"step": 11, "measures": {}}\n{"st')  # a kill's remains
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    second, _ = our_fit(rows, tmp_path / "b", reports)
    assert second == [12]
    assert read_history(reports / "history.jsonl") == lines
    assert not (reports / "step-00000010").exists()
    # A kill during the look at step 8, after its checkpoint.
    reports = tmp_path / "c/reports"
    kept = json.dumps(lines[0]) + "\n"
    (reports / "history.jsonl").write_text(kept)
    made_up, _ = our_fit(rows, tmp_path / "c", reports)
    assert made_up == [10, 12] and steps_in(reports) == [4, 10, 12]


def test_windows_that_are_no_multiple_are_looked_at_when_passed(rows, tmp_path):
    seen, _ = our_fit(rows, None, tmp_path, every=5)
    assert seen == [6, 10, 12]


def test_mistakes_are_told():
    for chosen in ({}, {"every_steps": 1, "every_epochs": 1}):
        with pytest.raises(InputError, match="either every_steps or every_ep"):
            Evaluation(lambda step: [], **chosen)
    with pytest.raises(InputError, match="Received: every_steps=0"):
        Evaluation(lambda step: [], every_steps=0)

    def wrong(step):
        raise InputError("Expected a text. Received: none.")

    def run(evaluate):
        fit(linear(), [Evaluation(evaluate, every_epochs=1)], epochs=1)

    with pytest.raises(InputError, match="evaluation at step 4 failed. Expec"):
        run(wrong)
    with pytest.raises(InputError, match="step 4. Received: Weight"):
        run(lambda step: Weight(1.0, step))
    with pytest.raises(InputError, match="Expected findings: objects with"):
        run(lambda step: ["text"])
    with pytest.raises(ZeroDivisionError):
        run(lambda step: 1 / 0)

    class Loss(Weight):
        def measures(self):
            return {"loss": Measure(1.0)}

    with pytest.raises(InputError, match="not in the logs yet. Received: los"):
        run(lambda step: [Loss(1.0, step)])


def test_curves_have_gaps_and_errors():
    lines = [
        {"step": 5, "measures": {"a/x": {"value": 1.0, "error": 0.5}}},
        {"step": 9, "measures": {"a/x": {"value": None}, "b/y": {"value": 2}}},
    ]
    curves = Curves(lines)
    assert math.isnan(curves.measures()["a/x"].value)
    titles = [getattr(block, "text", "") for block in curves.blocks()]
    assert titles[1] == "a" and titles[4] == "b"
    table = curves.blocks()[6]
    assert [row["y"] for row in table.rows] == [None, Measure(2)]
    with pytest.raises(InputError, match="at least one evaluation"):
        Curves([])


def test_tensorboard_has_the_same_numbers(tmp_path):
    import tensorflow as tf
    from tensorboard.backend.event_processing import event_accumulator

    write_summaries(tmp_path, [Everything()], step=3)
    write_summaries(tmp_path, [Everything()], step=7)
    events = event_accumulator.EventAccumulator(
        str(tmp_path), size_guidance={"images": 0, "tensors": 0}
    )
    events.Reload()
    tags = events.Tags()["tensors"]
    found = events.Tensors("lm/bits_per_byte")
    assert [one.step for one in found] == [3, 7]
    value = tf.make_ndarray(found[0].tensor_proto)
    assert value == pytest.approx(1.2345)
    picture = "language-modelling/01-loss-against-the-position-in-the-context"
    assert {"lm/acc", "language-modelling", picture} <= set(tags)
    width, height, png, *_ = events.Tensors(picture)[0].tensor_proto.string_val
    assert (width, height, png[1:4]) == (b"1152", b"576", b"PNG")
    (text,) = events.Tensors("language-modelling")[0].tensor_proto.string_val
    assert b"| books/moby.txt | 1,200 |" in text and b"tag: \\<script" in text
