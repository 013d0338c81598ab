"""Configs are checked when made, and never mis-read."""

import json

import pytest

from keras_llm import DecoderConfig, Experts, InputError, Rope

SIZE = dict(
    vocabulary_size=9,
    context_length=8,
    num_layers=1,
    hidden_dim=8,
    num_heads=2,
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_kv_heads": 3}, "multiple of num_kv_heads.*num_heads=2"),
        ({"hidden_dim": 9}, "multiple of num_heads"),
        ({"hidden_dim": -8}, "above zero. Received: -8"),
        ({"hidden_dim": 8.0}, "integer. Received: 8.0"),
        ({"num_layers": True}, "integer. Received: True"),
        ({"norm_eps": float("nan")}, "above zero"),
        ({"norm": "batch"}, "one of 'rms', 'rms_offset', 'layer'"),
        ({"pattern": "LX", "window": 3}, "letters G .*Received: 'LX'"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "LG"}, "window, in tokens"),
        ({"dropout": 1.0}, "0 <= dropout < 1"),
        ({"dropout": "0.1"}, "dropout to be at least 0"),
        ({"pattern": 5}, "pattern of letters.*Received: 5"),
        ({"rope": "yes"}, "rope as Rope.*Received: 'yes'"),
        ({"rope": {"fraction": 0.25}, "head_dim": 6}, "even number"),
        ({"rope": {"speed": 2}}, "unknown keys: speed"),
    ],
)
def test_mistakes_are_sentences(change, says):
    with pytest.raises(InputError, match=says):
        DecoderConfig(**{**SIZE, **change})


def test_rope_and_experts_check_themselves():
    with pytest.raises(InputError, match="original_context"):
        Rope(scaling="yarn", factor=2.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        Rope(fraction=1.5)
    with pytest.raises(InputError, match="top_k=9, count=4"):
        Experts(count=4, top_k=9)
    with pytest.raises(InputError, match="shared to be at least 0"):
        Experts(count=4, top_k=2, shared=-1)
    with pytest.raises(InputError, match="balance_loss to be at least 0"):
        Experts(count=4, top_k=2, balance_loss=-0.1)


def test_unknown_and_missing_keys_are_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**SIZE, "num_layer": 3}))
    with pytest.raises(InputError, match="unknown keys: num_layer"):
        DecoderConfig.load(path)
    path.write_text(json.dumps({"hidden_dim": 8}))
    with pytest.raises(InputError, match="vocabulary_size"):
        DecoderConfig.load(path)
    path.write_text('{"hidden_dim": 8')
    with pytest.raises(InputError, match="Expected JSON in"):
        DecoderConfig.load(path)
    path.write_text("5")
    with pytest.raises(InputError, match="by name. Received: 5"):
        DecoderConfig.load(path)
    with pytest.raises(InputError, match="no such file"):
        DecoderConfig.load(tmp_path / "nowhere.json")


def test_derived_sizes():
    config = DecoderConfig(**{**SIZE, "hidden_dim": 96, "num_heads": 4})
    assert (config.head_dim, config.num_kv_heads) == (24, 4)
    assert config.mlp_dim == 256  # 8/3 * 96, rounded up to 64
    plain = DecoderConfig(**SIZE, mlp="gelu")
    assert plain.mlp_dim == 32
    deep = config.replace(num_layers=7, pattern="LLG", window=2)
    assert deep.layer_kinds == "LLGLLGL"
