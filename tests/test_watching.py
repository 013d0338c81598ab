"""What is shown of a run, read back with TensorBoard's own readers."""

import json
import time
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run
from test_callbacks import events
from werkzeug.test import Client
from werkzeug.wrappers import Response

from keras_llm.cli.board import open_board
from keras_llm.errors import InputError
from keras_llm.hardware import carbon_intensity
from keras_llm.train import WatchConfig, read_history
from keras_llm.train.data_wait import DataWait
from keras_llm.train.loggers import check_logger, logging_to
from keras_llm.train.token_metrics import group_of

WATTS, HOUR, KWH = 150.0, 2.5, 0.4


class Words(tiny_run.Words):
    """A tokenizer whose tokens are awkward labels."""

    def has_token(self, token_id):
        return True

    def decode(self, ids):
        return {0: "a\tb", 1: "\n", 2: ""}.get(ids[0], f"word{ids[0]}")


class Weights(keras.callbacks.Callback):
    """Notes the weights before every step and after the last one."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(self._now())

    def on_train_end(self, logs=None):
        self.seen.append(self._now())

    def _now(self):
        weights = self.model.decoder.trainable_variables
        return {v.path: np.array(v.numpy()) for v in weights}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run's folder, its report, and its weights after each step."""
    rows = tiny_run.write_rows(tmp_path_factory.mktemp("rows"))
    out, weights = tmp_path_factory.mktemp("out"), Weights()
    report = tiny_run.train(
        rows,
        out,
        tokenizer=Words(),
        callbacks=[weights],
        watch={
            "detail_every": 4,
            "profile": "5:6",
            "watts": WATTS,
            "region": "france",
            "price_per_hour": HOUR,
            "price_per_kwh": KWH,
        },
    )
    return out, report, weights.seen


@pytest.fixture(scope="module")
def found(watched):
    return events(watched[0] / "tensorboard")


def by_group(arrays: dict) -> dict:
    groups = {group_of(path) for path in arrays}
    return {
        group: np.linalg.norm(
            np.concatenate(
                [a.ravel() for p, a in arrays.items() if group_of(p) == group]
            )
        )
        for group in groups
    }


def test_gradient_norms_of_groups_add_up_to_the_whole(watched, found):
    """Squares add up in every step; here a window of two steps has means."""
    history = read_history(watched[0] / "metrics.jsonl")
    groups = [tag for tag in found if tag.startswith("gradient_norm/")]
    assert {tag.split("/")[1] for tag in groups} == {
        "token_embedding", "block_0", "final_norm"
    }  # fmt: skip
    for line in history:
        parts = [float(found[tag][line["step"]]) for tag in groups]
        assert np.linalg.norm(parts) == pytest.approx(
            line["gradient_norm"], rel=0.02
        )


def test_gradient_norms_are_those_of_a_tape(tmp_path):
    """One step: the gradient of the mean loss, by TensorFlow's own tape."""
    rows = tiny_run.write_rows(tmp_path / "rows")
    model = tiny_run.build(dropout=0.0)
    seen = []

    class Batch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.group_norms.norms())

    batch = next(iter(rows_batches(rows)))
    inputs, targets, weights = batch
    with tf.GradientTape() as tape:
        losses = keras.ops.sparse_categorical_crossentropy(
            targets, model(inputs), from_logits=True
        )
        weights = tf.cast(weights, tf.float32)
        loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    expected = by_group(
        {
            v.path: tf.convert_to_tensor(g).numpy()
            for v, g in zip(variables, gradients, strict=True)
        }
    )
    tiny_run.train(
        rows, None, model, steps=1, warmup_steps=0, log_every=1,
        validate_every=1, checkpoint_every=1, sample_every=1,
        callbacks=[Batch()],
    )  # fmt: skip
    assert seen[0] == pytest.approx(expected, rel=1e-4)


def rows_batches(rows):
    from keras_llm.train.source import open_source

    source = open_source(rows, tiny_run.build(), 4, None)
    return source.batches(tiny_run.SETTINGS["seed"], 0)


@pytest.mark.parametrize("step", [4, 8, 12])
def test_update_norms_are_those_of_the_weights(watched, found, step):
    seen = watched[2]
    before, after = seen[step - 1], seen[step]
    changes = by_group({path: after[path] - before[path] for path in after})
    sizes = by_group(after)
    for group, change in changes.items():
        update = float(found[f"update_norm/{group}"][step])
        assert update == pytest.approx(change, rel=1e-4)
        weight = float(found[f"weight_norm/{group}"][step])
        assert weight == pytest.approx(sizes[group], rel=1e-4)
        ratio = float(found[f"update_ratio/{group}"][step])
        assert ratio == pytest.approx(change / sizes[group], rel=1e-3)
    assert sorted(found["update_norm/block_0"]) == [4, 8, 12]


def test_histograms_count_the_weights(watched, found):
    after = watched[2][-1]
    for path, values in after.items():  # small ones: none is left out
        buckets = found[f"weights/{path}"][12]  # left, right, count
        assert buckets[:, 2].sum() == values.size
        assert buckets[0, 0] == pytest.approx(values.min(), rel=1e-5)
        assert buckets[-1, 1] == pytest.approx(values.max(), rel=1e-5)
        assert (np.diff(buckets[:, 0]) >= 0).all()


def test_cost_is_time_by_watts_by_factors(watched, found):
    _, report, _ = watched
    kwh = {step: float(x) for step, x in found["cost/kwh"].items()}
    assert sorted(kwh) == [2, 4, 6, 8, 10, 12]
    assert list(kwh.values()) == sorted(kwh.values())
    seconds = kwh[12] * 3.6e6 / WATTS
    assert 0 < seconds <= report.seconds
    grams = 1000 * float(found["cost/co2_kg"][12])
    assert grams == pytest.approx(kwh[12] * carbon_intensity("france"))
    assert report.cost["energy"] == f"{WATTS:g} W as stated"
    assert report.cost["kwh"] == pytest.approx(kwh[12])
    rent = report.cost["price"] - KWH * kwh[12]
    assert 0 < rent <= HOUR * report.seconds / 3600


def test_waiting_and_memory_are_shown(found):
    assert set(found["speed/data_wait"]) == {2, 4, 6, 8, 10, 12}
    shares = [float(x) for x in found["speed/data_wait"].values()]
    assert all(0 < share < 1 for share in shares)
    assert float(found["memory/process"][12]) > 1e8
    assert float(found["speed/checkpoint_wait"][12]) > 0


def test_hyperparameters_are_read_by_the_plugin(watched):
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    chosen = {}
    for file in sorted((watched[0] / "tensorboard").glob("events*")):
        for record in tf.compat.v1.train.summary_iterator(str(file)):
            for value in record.summary.value:
                if value.tag == metadata.SESSION_START_INFO_TAG:
                    content = value.metadata.plugin_data.content
                    data = plugin_data_pb2.HParamsPluginData.FromString(content)
                    chosen = data.session_start_info.hparams
    assert chosen["learning_rate"].number_value == 1e-2
    assert chosen["batch_size"].number_value == 4
    assert chosen["optimizer"].string_value == "adamw"
    assert chosen["model.hidden_dim"].number_value == 16


def test_the_projector_shows_tokens_and_their_embeddings(watched):
    from tensorboard.backend.event_processing import (
        data_provider,
        plugin_event_multiplexer,
    )
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin

    folder = str(watched[0] / "tensorboard")
    multiplexer = plugin_event_multiplexer.EventMultiplexer({".": folder})
    multiplexer.Reload()
    plugin = projector_plugin.ProjectorPlugin(
        base_plugin.TBContext(
            logdir=folder,
            multiplexer=multiplexer,
            data_provider=data_provider.MultiplexerDataProvider(
                multiplexer, folder
            ),
        )
    )
    apps = plugin.get_plugin_apps()
    name = "tokens/.ATTRIBUTES/VARIABLE_VALUE"
    asked = f"?run=.&name={name}"
    tensor = Client(apps["/tensor"], Response).get(f"/{asked}").data
    table = np.frombuffer(tensor, "float32").reshape(50, 16)
    weights = watched[2][-1]["token_embedding/embeddings"]
    np.testing.assert_array_equal(table, weights)
    labels = Client(apps["/metadata"], Response).get(f"/{asked}").text
    lines = labels.splitlines()
    assert len(lines) == 50
    assert lines[:4] == [r"a\tb", r"'\n'", "''", "word3"]


def test_the_profile_has_the_chosen_steps(watched):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    (file,) = (watched[0] / "tensorboard" / "profile").rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    steps = set()
    for plane in space.planes:
        names = {i: m.name for i, m in plane.event_metadata.items()}
        keys = {i: m.name for i, m in plane.stat_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                if names[event.metadata_id] == "train":
                    steps |= {
                        stat.int64_value
                        for stat in event.stats
                        if keys[stat.metadata_id] == "step_num"
                    }
    assert steps == {5, 6}


# === Waiting ===


def test_waiting_for_data_is_what_the_consumer_waits():
    def slowly(x):
        time.sleep(0.02)
        return x

    data = tf.data.Dataset.range(10).map(
        lambda x: tf.numpy_function(slowly, [x], tf.int64)
    )
    wait = DataWait()
    assert [int(x) for x in wait.timed(data)] == list(range(10))
    assert wait.seconds() >= 0.2
    ahead, begin = DataWait(), time.perf_counter()
    for _ in ahead.timed(data.prefetch(1)):
        time.sleep(0.06)
    assert ahead.seconds() < (time.perf_counter() - begin) / 2


# === Settings, other loggers, the board ===


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"profile": "7"}, "FIRST:LAST"),
        ({"profile": "7:6"}, "not after the last"),
        ({"profile": "0:6"}, "above zero"),
        ({"logger": "paper"}, "logger to be one of None, 'wandb'"),
        ({"watts": -1.0}, "watts to be above zero"),
        ({"region": "atlantis"}, "a region of"),
        ({"detail_every": -1}, "detail_every to be at least 0"),
    ],
)
def test_wrong_settings_are_sentences(changes, said):
    with pytest.raises(InputError, match=said):
        WatchConfig(**changes)


def test_a_logger_that_is_not_installed_is_a_sentence(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'keras_llm\[mlflow\]'"):
        check_logger("mlflow")


def test_mlflow_gets_the_numbers(tmp_path, monkeypatch):
    """A run that is continued goes on in the same run there."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    for loss in (2.0, 1.0):
        with logging_to("mlflow", tmp_path, {"a": 1}) as (callback,):
            callback.set_params({})
            callback.set_model(keras.Sequential())
            callback.model.compile("sgd", "mse")
            callback.on_train_begin()
            callback.on_epoch_end(0, {"loss": loss})
    (run,) = mlflow.search_runs(output_format="list")
    assert run.data.metrics["loss"] == 1.0
    assert run.info.run_id == (tmp_path / "mlflow_run").read_text()


def test_wandb_gets_the_numbers(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with logging_to("wandb", tmp_path, {"a": 1}) as (callback,):
        callback.set_model(keras.Sequential())
        callback.model.compile("sgd", "mse")
        callback.on_epoch_end(0, {"loss": 2.0})
    (file,) = (tmp_path / "wandb").rglob("run-*.wandb")
    assert b"epoch/loss" in file.read_bytes()


def test_tensorboard_runs_beside_a_run(tmp_path):
    with open_board(tmp_path / "tensorboard", port=0) as address:
        with urllib.request.urlopen(f"{address}data/environment") as answer:
            said = json.load(answer)
        assert said["data_location"] == str(tmp_path / "tensorboard")
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{address}data/environment", timeout=5)


def test_tensorboard_that_does_not_start_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot bind to port.*--watch"):
        with open_board(tmp_path, port=99_999):
            pass
