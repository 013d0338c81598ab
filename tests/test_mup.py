"""muP: scales by their rules, and activations that move alike at all widths."""

import keras
import numpy as np
import pytest

from keras_llm.config import DecoderConfig, Experts
from keras_llm.errors import InputError
from keras_llm.model import build_decoder
from keras_llm.train import TrainConfig, fit
from keras_llm.train.mup import (
    build_mup,
    coordinate_check,
    plot_coordinate_check,
    rate_scales,
)

BASE = 16
SIZES = {
    "vocabulary_size": 32,
    "context_length": 8,
    "num_layers": 2,
    "num_heads": 2,
}


def config(width, **changes):
    """Heads of 8 channels: their number grows with the width."""
    changes = {"num_heads": width // 8, "mlp_dim": 4 * width, **changes}
    return DecoderConfig(**{**SIZES, "hidden_dim": width, **changes})


def built(make, *args, **options):
    keras.utils.set_random_seed(1)
    return make(*args, **options)


def batches(count):
    random = np.random.default_rng(0)
    tokens = random.integers(0, 32, (count, 8, 9)).astype("int32")
    for batch in tokens:
        inputs = {
            "tokens": batch[:, :-1],
            "positions": np.tile(np.arange(8, dtype="int32"), (8, 1)),
            "segments": np.ones((8, 8), "int32"),
        }
        yield inputs, batch[:, 1:], np.ones((8, 8), "float32")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "layer", "bias": "all", "rope": None},
        {"norm": "rms_offset", "tie_embeddings": False},
        {"experts": Experts(count=4, top_k=2)},
    ],
)
def test_at_the_base_width_it_is_the_standard_parametrization(changes):
    ours = built(build_mup, config(BASE, **changes), BASE)
    plain = built(build_decoder, config(BASE, **changes))
    assert rate_scales(ours, BASE) == {}
    for one, other in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_scales_of_every_kind_of_variable():
    wide = config(
        64, bias="all", tie_embeddings=False, experts=Experts(count=4, top_k=2)
    )
    ours, plain = built(build_mup, wide, BASE), built(build_decoder, wide)
    scales = rate_scales(ours, BASE)
    first = {
        v.path: (v, w) for v, w in zip(ours.weights, plain.weights, strict=True)
    }
    expected = {  # factors on the first value and on the rate, with m = 4
        "token_embedding/embeddings": (1, 1),
        "token_embedding/reverse_embeddings": (1, 1),
        "block_0/attention/query/kernel": (1 / 2, 1 / 4),
        "block_0/attention/query/bias": (1, 1),
        "block_0/experts/gate": (1 / 2, 1 / 4),
        "block_0/experts/gate_bias": (1, 1),
        "block_0/experts/router/kernel": (1 / 4, 1 / 4),
        "final_norm/scale": (1 / 4, 1 / 4),
    }
    for path, (value, rate) in expected.items():
        assert scales.get(path, 1) == rate, path
        mine, theirs = first[path]
        np.testing.assert_allclose(mine, value * theirs.numpy(), rtol=1e-6)
    muon = rate_scales(ours, BASE, "muon")
    assert muon["block_0/attention/query/kernel"] == 1 / 2
    assert muon["final_norm/scale"] == 1 / 4


@pytest.mark.parametrize("norm", ["rms", "rms_offset", "layer"])
def test_the_output_multiplier_is_in_the_final_norm(norm):
    """Logits are those of the unscaled norm, divided by m."""
    wide = config(64, norm=norm)
    ours = built(build_mup, wide, BASE)
    inputs, *_ = next(batches(1))
    logits = keras.ops.convert_to_numpy(ours(inputs))
    scale = ours.get_layer("final_norm").weights[0]
    offset = 1.0 if norm == "rms_offset" else 0.0
    np.testing.assert_allclose(offset + scale.numpy(), 0.25)
    scale.assign(scale * 0 + 1.0 - offset)
    whole = keras.ops.convert_to_numpy(ours(inputs))
    np.testing.assert_allclose(4 * logits, whole, rtol=1e-4, atol=1e-5)


def test_wider_heads_scale_scores_by_their_width():
    wide = config(64, num_heads=2)  # 32 channels instead of 8
    assert build_mup(wide, BASE, 8).config.attention_scale == 8**0.5 / 32
    assert build_mup(wide, BASE).config.attention_scale is None


def test_activations_move_alike_at_every_width(tmp_path):
    """The coordinate check, as numbers and as a picture."""
    widths = (16, 128)

    def check(base, make):
        return coordinate_check(make, widths, batches(2), base)

    flat = check(BASE, lambda w: built(build_mup, config(w), BASE))
    growing = check(None, lambda w: built(build_decoder, config(w)))
    assert list(flat) == ["block_0", "block_1", "logits"]
    for layer in flat:
        assert 0.6 < flat[layer][128][-1] / flat[layer][16][-1] < 1.4
        assert growing[layer][128][-1] / growing[layer][16][-1] > 3
    file = tmp_path / "check.png"
    plot_coordinate_check(flat, file)
    assert file.read_bytes()[1:4] == b"PNG"


def test_fit_takes_the_scaled_rates():
    """One step of AdamW moves every element by its rate."""
    import tensorflow as tf

    model = built(build_mup, config(64), BASE)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    inputs, targets, weights = next(batches(1))
    data = tf.data.Dataset.from_tensors((inputs, targets, weights))
    settings = {"steps": 1, "batch_size": 8, "log_every": 1}
    settings |= {f"{n}_every": 1 for n in ("validate", "checkpoint", "sample")}
    fit(
        model,
        data,
        parametrization="mup",
        base_width=BASE,
        weight_decay=0.0,
        learning_rate=1e-3,
        clip_norm=None,
        **settings,
    )
    moved = {
        v.path: np.median(np.abs(v.numpy() - before[v.path]))
        for v in model.trainable_variables
    }
    assert moved["block_0/mlp/up/kernel"] == pytest.approx(2.5e-4, rel=0.05)
    assert moved["final_norm/scale"] == pytest.approx(2.5e-4, rel=0.05)
    assert moved["block_0/attention_norm/scale"] == pytest.approx(1e-3, rel=0.1)


def test_refuses():
    with pytest.raises(InputError, match="base_width above zero"):
        build_mup(config(16), 0)
    with pytest.raises(InputError, match="a decoder from build_mup"):
        rate_scales(keras.Sequential(), 16)
    with pytest.raises(InputError, match="base_width with parametrization"):
        TrainConfig(steps=1, parametrization="mup")
