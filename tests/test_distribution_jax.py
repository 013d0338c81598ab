"""JAX over several devices: the losses and weights of one device.

Four virtual CPU devices in processes of their own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax_devices
import keras
import numpy as np
import pytest
import tiny_run
from test_distribution import (
    LIMIT,
    assert_equal_runs,
    assert_same_training,
    finish,
)

from keras_llm.cli.workers import free_ports
from keras_llm.errors import InputError
from keras_llm.train import Cluster, distribution, restore

pytest.importorskip("jax", reason="JAX is not installed")

KINDS = ("data_parallel", "model_parallel:2x2")
CASES = ("chunked", "experts", "averages_and_guard")
MORE = ("plain", "clip", "accumulate", "remat", "muon", "schedule_free")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return tiny_run.write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def much(tmp_path_factory):
    folder = tmp_path_factory.mktemp("much")
    finish(jax_devices.start("steps", folder, "much", "single", *KINDS))
    return folder


@pytest.fixture(scope="module")
def runs(rows, tmp_path_factory):
    """A run on one device, and one that moves between two kinds."""
    folder = tmp_path_factory.mktemp("runs")
    processes = [
        jax_devices.start("fit", rows.folder, folder / name, *kinds)
        for name, kinds in {
            "whole": ("single",),
            "moved": ("data_parallel", "model_parallel:2x2"),
        }.items()
    ]
    for process in processes:
        finish(process)
    return folder


def found(folder: Path, kind: str, name: str):
    logs = json.loads((folder / kind / f"{name}.json").read_text())
    return [*np.load(folder / kind / f"{name}.npz").values()], logs


@pytest.mark.parametrize("kind", KINDS)
def test_four_devices_equal_one(much, kind):
    """Clipping, accumulation, masked tokens, uneven batches, dropout."""
    assert_equal_runs(found(much, "single", "much"), found(much, kind, "much"))


@pytest.mark.slow
def test_a_run_goes_from_four_devices_to_a_mesh(runs):
    assert_same_training(runs / "moved", runs / "whole")


@pytest.mark.slow
def test_what_jax_has_trained_works_on_tensorflow(runs):
    model = tiny_run.build(seed=8)
    last = f"checkpoints/step-{tiny_run.STEPS:08d}"
    restore(runs / "moved" / last, model)
    tokens = np.arange(16, dtype="int32").reshape(2, 8)
    theirs = np.load(runs / "moved" / "logits.npy")
    np.testing.assert_allclose(model(tokens), theirs, atol=1e-5)


@pytest.mark.slow
def test_and_leaves_as_a_saved_model(runs, tmp_path):
    import tensorflow as tf

    model = tiny_run.build(seed=8)
    last = f"checkpoints/step-{tiny_run.STEPS:08d}"
    restore(runs / "moved" / last, model)
    model.export(tmp_path / "saved", verbose=False)
    tokens = np.arange(16, dtype="int32").reshape(2, 8)
    inputs = {
        "tokens": tokens,
        "positions": np.tile(np.arange(8, dtype="int32"), (2, 1)),
        "segments": np.ones_like(tokens),
    }
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.serve(inputs)
    theirs = np.load(runs / "moved" / "logits.npy")
    np.testing.assert_allclose(served, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(CASES, marks=pytest.mark.slow),
        pytest.param(MORE, marks=pytest.mark.long),
    ],
)
def test_each_case_alone_equals_one_device(names, tmp_path):
    kinds = ("single", "fsdp", "model_parallel:2x2")
    finish(jax_devices.start("steps", tmp_path, ",".join(names), *kinds))
    for name in names:
        for kind in kinds[1:]:
            assert_equal_runs(
                found(tmp_path, "single", name), found(tmp_path, kind, name)
            )


@pytest.mark.long
def test_every_config_is_built_in_parts_and_gives_its_logits(tmp_path):
    kinds, file = ("model_parallel:2x2", "fsdp"), tmp_path / "layouts.json"
    finish(jax_devices.start("layouts", file, *kinds))
    layouts = json.loads(file.read_text())
    for kind, parts in zip(kinds, (2, 4), strict=True):
        for name, built in layouts[kind].items():
            assert built["wrong"] < 2e-5, name
            kernel = built["shapes"]["block_0/attention/query/kernel"]
            assert kernel == [16, built["width"] // parts], name


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("fsdp", marks=pytest.mark.slow),
        pytest.param("data_parallel", marks=pytest.mark.long),
    ],
)
def test_a_run_goes_from_one_process_to_two(runs, rows, tmp_path, kind):
    """Four devices each, and the losses and weights of one device."""
    finish(jax_devices.start("fit", rows.folder, tmp_path, kind, "stop"))
    hosts = tuple(f"localhost:{port}" for port in free_ports(2))
    configs = [Cluster(hosts, index).tf_config() for index in (0, 1)]
    processes = [
        jax_devices.start(
            *("fit", rows.folder, tmp_path, kind),
            devices=2,
            TF_CONFIG=config,
        )
        for config in configs
    ]
    for process in processes:
        finish(process)
    assert_same_training(tmp_path, runs / "whole")
    theirs = np.load(runs / "whole" / "logits.npy")
    ours = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(ours, theirs, atol=LIMIT)


# === What is refused ===


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("data_parallel", '"mirrored" and "multi_worker"'),
        ("model_parallel", "KERAS_BACKEND=jax"),
        ("fsdp", "does not cut a model over devices"),
    ],
)
def test_tensorflow_points_to_jax(kind, said):
    with pytest.raises(InputError, match=said):
        distribution(kind)


REFUSED = """
import keras, numpy as np, tiny_run
from keras_llm.errors import InputError
from keras_llm.train import TokenTrainer, distribution, distribution_of

def said(call, *args, **options):
    try:
        call(*args, **options)
    except InputError as error:
        print(error)
    else:
        print("nothing", args, options)

said(distribution, "mirrored")
said(distribution, "multi_worker")
said(distribution, "data_parallel", devices=["cpu:0"])
said(distribution, "fsdp", mesh=(2, 2))
said(distribution, "model_parallel", mesh=(3, 2))
said(distribution, "model_parallel", mesh="2by2")
before = tiny_run.build()
with distribution("data_parallel").scope():
    said(TokenTrainer, before)
with distribution("model_parallel").scope():  # four for the model
    said(tiny_run.build)
    three = tiny_run.build(vocabulary_size=52, num_heads=2)
said(TokenTrainer, three)
mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
layouts = keras.distribution.LayoutMap(mesh)
layouts["nothing"] = ("model",)
own = keras.distribution.ModelParallel(layout_map=layouts)
with own.scope():
    said(TokenTrainer, tiny_run.build())
said(distribution("fsdp").require, "data_parallel")
from keras.src.backend.jax import core
core.should_shard_at_init = lambda *_: True  # as if all were large
with distribution("fsdp").scope():
    built = tiny_run.build(tie_embeddings=False, vocabulary_size=48)
print("built", built.name)
print(distribution("auto").kind, distribution("auto").replicas)
"""


def test_what_jax_does_not_do_is_a_sentence(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(REFUSED)
    done = subprocess.run(
        [sys.executable, script],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
            "PYTHONPATH": os.path.dirname(tiny_run.__file__),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().split("\n")
    expected = [
        'JAX has "data_parallel" for that.',
        "over all processes",
        "Received: devices for 'data_parallel'",
        'a mesh for "model_parallel" only',
        "whose product is 4",
        "Received: '2by2'",
        "built before the distribution was set",
        "vocabulary_size to be a multiple of the 4 devices",
        "num_heads=2",
        "no pattern of the layout map matches",
        'strategy="data_parallel"',
        "built decoder",
        "data_parallel 4",
    ]
    assert len(lines) == len(expected), done.stdout
    for line, words in zip(lines, expected, strict=True):
        assert words in line, done.stdout


def test_parts_of_variables_are_whole_on_one_process():
    from keras_llm.train.whole import alone

    model = tiny_run.build()
    again = alone(model)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert keras.distribution.distribution() is None
