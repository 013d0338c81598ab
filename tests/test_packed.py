"""MXFP4: what is read equals what other implementations unpack."""

import json

import ml_dtypes
import numpy as np
import pytest
from families import FAMILIES
from peers import CONFIG, TOKENS, WEIGHTS, peer_model
from safetensors.numpy import load_file, save_file
from test_parity import live

from keras_llm import InputError, zoo
from keras_llm.weights.packed import unpack, with_packed

RANDOM = np.random.RandomState(7)


def packed(count: int, outputs: int, inputs: int) -> tuple:
    """Random blocks and scales."""
    shape = (count, outputs, inputs // 32)
    blocks = RANDOM.randint(0, 256, (*shape, 16)).astype("uint8")
    return blocks, RANDOM.randint(121, 126, shape).astype("uint8")


def test_every_byte_at_every_scale_is_what_ml_dtypes_says():
    """Up to where bfloat16 ends, at 6 times 2 to the 125."""
    scales = np.repeat(np.arange(253, dtype="uint8"), 16).reshape(253, 16)
    blocks = np.arange(256, dtype="uint8").reshape(16, 16)
    halves = np.stack([blocks & 15, blocks >> 4], -1).reshape(16, 32)
    values = halves.view(ml_dtypes.float4_e2m1fn).astype("float64")
    powers = scales.view(ml_dtypes.float8_e8m0fnu).astype("float64")
    expected = (powers[..., None] * values).reshape(253, -1)
    ours = unpack(np.broadcast_to(blocks, (253, 16, 16)), scales)
    np.testing.assert_array_equal(ours.astype("float64"), expected)


@live
def test_transformers_unpacks_the_same():
    import torch
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = packed(3, 6, 64)
    theirs = convert_moe_packed_tensors(
        torch.from_numpy(blocks), torch.from_numpy(scales)
    )
    ours = np.swapaxes(unpack(blocks, scales), 1, 2)
    np.testing.assert_array_equal(ours.astype("float32"), theirs.float())


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A checkpoint with packed experts, and the same one unpacked."""
    width = dict(hidden_size=32, intermediate_size=32)
    monkeypatch.setitem(
        FAMILIES, "gpt_oss", {"wide": FAMILIES["gpt_oss"]["grouped"] | width}
    )
    peer_model("gpt_oss", "wide", tmp_path / "plain")
    plain = load_file(tmp_path / "plain" / WEIGHTS)
    halves = {}
    for name in [name for name in plain if name.endswith("_proj")]:
        count, inputs, outputs = plain[name].shape
        blocks, scales = packed(count, outputs, inputs)
        halves |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        plain[name] = np.ascontiguousarray(
            np.swapaxes(unpack(blocks, scales), 1, 2).astype("float32")
        )
    save_file(plain, tmp_path / "plain" / WEIGHTS, {"format": "pt"})
    kept = {k: v for k, v in plain.items() if not k.endswith("_proj")}
    (tmp_path / "packed").mkdir()
    save_file(kept | halves, tmp_path / "packed" / WEIGHTS, {"format": "pt"})
    config = json.loads((tmp_path / "plain" / CONFIG).read_text())
    config["quantization_config"] = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
    }
    (tmp_path / "packed" / CONFIG).write_text(json.dumps(config))
    return tmp_path


@live
def test_packed_experts_load(folders):
    whole = zoo.load_hugging_face(folders / "packed")
    same = zoo.load_hugging_face(folders / "plain")
    np.testing.assert_array_equal(whole(TOKENS), same(TOKENS))
    zoo.save_hugging_face(whole, folders / "again", "gpt_oss")
    before = load_file(folders / "plain" / WEIGHTS)
    after = load_file(folders / "again" / WEIGHTS)
    assert before.keys() == after.keys()
    assert all(np.array_equal(v, after[k]) for k, v in before.items())


@live
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:, :-1], ("_blocks to be bytes", "Copy or download")),
        (lambda x: x.astype("float32"), ("_blocks to be bytes", "F32")),
        (lambda x: None, ("missing", "gate_up_proj", "gate_up_proj_scales")),
    ],
)
def test_blocks_that_do_not_fit_are_refused(folders, change, words):
    path = folders / "packed" / WEIGHTS
    tensors = load_file(path)
    name = "model.layers.1.mlp.experts.gate_up_proj_blocks"
    changed = tensors | {name: change(tensors[name])}
    save_file({k: v for k, v in changed.items() if v is not None}, path)
    with pytest.raises(InputError) as caught:
        zoo.load_hugging_face(folders / "packed")
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "packed", [{"quant_method": "bitsandbytes"}, "bitsandbytes", ["mxfp4"]]
)
def test_other_ways_of_packing_are_refused(packed):
    family = zoo.find_family("gpt_oss")
    values = family.to_hugging_face(zoo.config("gpt-oss-20b"))
    values["quantization_config"] = packed
    with pytest.raises(InputError, match="quantization_config="):
        family.from_hugging_face(values)


def test_a_name_that_only_looks_packed_is_left_alone():
    assert with_packed({"a_blocks": 1, "b_scales": 2}) == {
        "a_blocks": 1,
        "b_scales": 2,
    }
