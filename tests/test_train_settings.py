"""Wrong settings and data are sentences; precision, FLOPs and the peak."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_run

from keras_llm.errors import InputError
from keras_llm.train import (
    TokenTrainer,
    TrainConfig,
    choose_precision,
    flops_per_token,
    measured_peak,
    precision_of,
    speed,
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate to be above zero"),
        ({"learning_rat": 1.0}, "unknown keys: learning_rat"),
        ({"steps": None}, "either steps or minutes"),
        ({"minutes": 1.0}, "either steps or minutes"),
        ({"accumulate": 3}, "accumulate to divide batch_size"),
        ({"checkpoint_every": 5}, "Use 6, or another log_every"),
        ({"batch_size": 4000}, "at least batch_size=4000 rows"),
        ({"warmup_steps": 13}, "warmup_steps .* at most 12"),
        ({"weight_decay": "0.1"}, "weight_decay to be at least 0. Received"),
        ({"seed": -1}, "seed to be at least 0"),
        ({"precision": "float16"}, "precision to be one of"),
        ({"precision": "mixed_bfloat16"}, "a model built in mixed_bfloat16"),
        ({"optimizer": "sgd"}, "optimizer to be one of 'adamw'"),
        ({"schedule": "stairs"}, "schedule to be one of"),
        ({"optimizer": "schedule_free", "ema": 0.9}, "which averages instead"),
        ({"optimizer": "schedule_free", "schedule": "wsd"}, "schedule='wsd'"),
        ({"ema": 1.5}, "ema to be at least"),
        ({"guard": "pray"}, "guard to be one of None, 'skip'"),
        ({"label_smoothing": 1.0}, "label_smoothing to be at least 0"),
        ({"ramp_steps": 4}, "both ramp_steps and ramp_from"),
        ({"ramp_steps": 4, "ramp_from": 1}, r"a micro-batch \(4 rows\)"),
        ({"base_width": 16}, "base_width with parametrization"),
    ],
)
def test_wrong_settings_are_sentences(rows, changes, message):
    with pytest.raises(InputError, match=message):
        tiny_run.train(rows, None, **changes)


def test_wrong_data_are_sentences(rows, tmp_path):
    with pytest.raises(InputError, match="vocabulary_size=40.*Received"):
        tiny_run.train(rows, None, tiny_run.build(vocabulary_size=40))
    with pytest.raises(InputError, match="context_length=4 tokens"):
        tiny_run.train(rows, None, tiny_run.build(context_length=4))
    with pytest.raises(InputError, match="Received: list"):
        tiny_run.train([1, 2], None)
    stranger = tiny_run.Words()
    stranger.fingerprint = "x" * 64
    with pytest.raises(InputError, match="fingerprint xxxx"):
        tiny_run.train(rows, None, tokenizer=stranger)
    data = tf.data.Dataset.from_tensor_slices((np.ones((4, 8)),) * 2)
    with pytest.raises(InputError, match="an empty one"):
        tiny_run.train(data.take(0).batch(4, drop_remainder=True), None)
    with pytest.raises(InputError, match="drop_remainder=True"):
        tiny_run.train(data.batch(4), None)
    with pytest.raises(InputError, match="Pass batch_size=2"):
        tiny_run.train(data.batch(2, drop_remainder=True), None)


def test_distribution_is_refused(rows):
    model = tiny_run.build()
    mesh = keras.distribution.DeviceMesh((1,), ["batch"], ["cpu:0"])
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(device_mesh=mesh)
    )
    try:
        with pytest.raises(InputError, match="no keras.distribution"):
            TokenTrainer(model)
    finally:
        keras.distribution.set_distribution(None)
    with pytest.raises(InputError, match="no loss"):
        TokenTrainer(model).compile("adam", loss="mse")


def test_precision_follows_the_processor(monkeypatch, tmp_path):
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(speed, "CPU_FLAGS", flags)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [])
    assert choose_precision() == "float32"
    flags.write_text("flags : sse avx512_bf16 fma")
    assert choose_precision() == "mixed_bfloat16"
    flags.write_text("flags : sse avx512f fma")
    assert choose_precision() == "float32"
    assert choose_precision("mixed_bfloat16") == "mixed_bfloat16"
    with pytest.raises(InputError, match="precision to be one of"):
        choose_precision("float16")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((9, 0), "mixed_bfloat16"), ((8, 0), "mixed_bfloat16"),
     ((7, 5), "float32"), (None, "float32")],
)  # fmt: skip
def test_precision_follows_the_gpu(monkeypatch, capability, precision):
    import tensorflow as tf

    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(
        keras.distribution,
        "list_devices",
        lambda: ["cpu:0", "gpu:0"],
    )
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["gpu"])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda _: details
    )
    assert choose_precision() == precision


def test_weights_in_float16_are_refused():
    with pytest.raises(InputError, match="float32 weights.*in float16"):
        precision_of(tiny_run.build(dtype="float16"))


def test_flops_are_six_a_parameter_and_attention():
    model = tiny_run.build(rope=None, tie_embeddings=True)
    total = model.count_params() - 8 * 16  # positions are looked up
    assert flops_per_token(model, 8) == 6 * total + 12 * 1 * 8 * 16
    untied = tiny_run.build(tie_embeddings=False)
    total = untied.count_params() - 50 * 16  # and so is the input table
    assert flops_per_token(untied, 8) == 6 * total + 12 * 1 * 8 * 16


def test_peak_is_measured_once():
    assert measured_peak("float32") is measured_peak("float32")
    assert 1e8 < measured_peak("float32") < 1e17


def test_config_travels_as_json(tmp_path):
    config = TrainConfig(steps=5, clip_norm=None, learning_rate=3e-4)
    config.save(tmp_path / "config.json")
    assert TrainConfig.load(tmp_path / "config.json") == config
