"""Weight files: what does not fit is refused by name, nothing is lost."""

import itertools
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from contract import CONFIGS, decoder
from safetensors.numpy import load_file, save_file

import keras_llm.weights as weights
from keras_llm import InputError, zoo
from keras_llm.model import build_decoder
from keras_llm.weights import (
    INDEX_FILE,
    SINGLE_FILE,
    TRANSPOSED,
    Row,
    WeightTable,
    load_safetensors,
    save_safetensors,
)

LLAMA = zoo.find_family("llama").weights
GPT2 = zoo.find_family("gpt2").weights
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def model():
    """A llama with grouped heads and a head of its own."""
    return decoder(CONFIGS["llama"])


@pytest.fixture
def file(model, tmp_path) -> Path:
    save_safetensors(model, tmp_path / SINGLE_FILE, LLAMA)
    return tmp_path / SINGLE_FILE


@pytest.fixture
def target():
    return build_decoder(CONFIGS["llama"])


def rewrite(path: Path, drop: tuple = (), **changes) -> None:
    """Writes the file again with some tensors gone and some new."""
    tensors = load_file(path) | changes
    kept = {k: v for k, v in tensors.items() if k not in drop}
    save_file(kept, path)


def refused(target, path, *words: str, table=LLAMA) -> None:
    """Loading is refused, all words are said, and no weight has changed."""
    before = target.get_weights()
    with pytest.raises(InputError) as caught:
        load_safetensors(target, path, table)
    for word in words:
        assert word in str(caught.value)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def equal(a, b) -> None:
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("layout", [weights.AS_IS, TRANSPOSED])
def test_side_by_side_and_back(layout):
    shapes = [(5, 6), (5, 2), (5, 3)]
    parts = [np.random.default_rng(0).normal(size=s) for s in shapes]
    tensor = layout.join(parts)
    assert tensor.shape == layout.shape(shapes)
    for part, again in zip(parts, layout.split(tensor, shapes), strict=True):
        np.testing.assert_array_equal(part, again)


def test_their_fused_tensor_is_query_key_value(tmp_path):
    model = decoder(CONFIGS["gpt2"])
    save_safetensors(model, tmp_path / SINGLE_FILE, GPT2)
    tensors = load_file(tmp_path / SINGLE_FILE)
    fused = tensors["transformer.h.2.attn.c_attn.weight"]
    attention = model.get_layer("block_2").attention
    for i, part in enumerate(("query", "key", "value")):
        kernel = np.asarray(getattr(attention, part).kernel)
        np.testing.assert_array_equal(fused[:, 16 * i : 16 * i + 16], kernel)


@pytest.mark.parametrize("folder", [True, False])
def test_a_file_or_its_folder(model, target, file, folder):
    load_safetensors(target, file.parent if folder else file, LLAMA)
    equal(model, target)


def test_missing_and_unknown_are_both_named(target, file):
    rewrite(file, drop=(UP,), **{"model.extra": np.ones(2, "float32")})
    refused(target, file, f"missing: {UP}", "unknown: model.extra", str(file))


def test_a_long_list_is_cut(target, file):
    rewrite(file, **{f"more.{i}": np.ones(1, "f4") for i in range(20)})
    refused(target, file, "more.0", "and 12 more")


def test_biases_that_the_config_does_not_have(target, file):
    bias = UP.replace("weight", "bias")
    rewrite(file, **{bias: np.ones(64, "float32")})
    refused(target, file, f"unknown: {bias}")


def test_a_wrong_shape(target, file):
    rewrite(file, **{UP: np.ones((64, 15), "float32")})
    refused(target, file, UP, "(64, 15)", "(64, 16)")


def test_quantized_weights(target, file):
    rewrite(file, **{UP: np.ones((64, 16), "int8")})
    refused(target, file, UP, "I8", "quantized")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(target, file, value):
    tensor = load_file(file)[UP]
    tensor[3, 4] = value
    rewrite(file, **{UP: tensor})
    refused(target, file, f"NaN or infinity in {UP}", "download it again")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file(target, file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    refused(target, file, "Expected a whole safetensors file", str(file))


def test_no_file(target, tmp_path):
    refused(target, tmp_path / "no.safetensors", "no such file")


def test_a_folder_under_the_files_name(target, tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    refused(target, tmp_path, "a safetensors file at")


def test_a_folder_of_another_format(target, tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    refused(target, tmp_path, SINGLE_FILE, "pytorch_model.bin")


def test_a_table_for_another_model(target, file):
    refused(target, file, "block_0/mlp/gate/kernel", table=GPT2)
    save_to = file.parent / "other"
    with pytest.raises(InputError, match="block_0/mlp/gate/kernel"):
        save_safetensors(target, save_to, GPT2)
    assert not save_to.exists()


def shards(file: Path, names: list[str]) -> Path:
    """Splits a file into two shards with an index, in the same folder."""
    tensors = load_file(file)
    keys, places = sorted(tensors), {}
    for name, part in zip(names, (keys[::2], keys[1::2]), strict=True):
        save_file({k: tensors[k] for k in part}, file.parent / name)
        places |= dict.fromkeys(part, name)
    file.unlink()
    index = file.parent / INDEX_FILE
    index.write_text(json.dumps({"weight_map": places}))
    return index


def test_shards(model, target, file):
    shards(file, ["a.safetensors", "b.safetensors"])
    load_safetensors(target, file.parent, LLAMA)
    equal(model, target)


def test_a_shard_that_is_gone(target, file):
    shards(file, ["a.safetensors", "b.safetensors"])
    (file.parent / "b.safetensors").unlink()
    refused(target, file.parent, "b.safetensors", "no such file")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_a_broken_index(target, file, text):
    shards(file, ["a.safetensors", "b.safetensors"]).write_text(text)
    refused(target, file.parent, INDEX_FILE, "Expected a weight_map")


def test_an_index_that_names_another_shard(target, file):
    index = shards(file, ["a.safetensors", "b.safetensors"])
    places = json.loads(index.read_text())["weight_map"]
    places[UP] = {"a": "b", "b": "a"}[places[UP][0]] + ".safetensors"
    index.write_text(json.dumps({"weight_map": places}))
    refused(target, file.parent, UP, places[UP], "download the index")


@pytest.mark.parametrize("listed", [True, False])
def test_an_index_with_a_tensor_more_or_less(target, file, listed):
    index = shards(file, ["a.safetensors", "b.safetensors"])
    places = json.loads(index.read_text())["weight_map"]
    name = "model.extra" if listed else UP
    places[name] = "a.safetensors"
    places = {k: v for k, v in places.items() if listed or k != UP}
    index.write_text(json.dumps({"weight_map": places}))
    refused(target, file.parent, name, INDEX_FILE)


@pytest.mark.parametrize("shard", [0, 1])
def test_a_truncated_shard(target, file, shard):
    names = ["a.safetensors", "b.safetensors"]
    shards(file, names)
    cut = file.parent / names[shard]
    cut.write_bytes(cut.read_bytes()[:-1])
    refused(target, file.parent, str(cut), "whole safetensors file")


def test_a_large_model_is_written_in_shards(model, target, tmp_path):
    whole = sum(w.nbytes for w in model.get_weights())
    largest = max(w.nbytes for w in model.get_weights())
    weights.write_shards(model, tmp_path, LLAMA, shard_bytes=2 * largest)
    files = sorted(tmp_path.glob("model-*"))
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    assert len(files) > 2
    assert files[-1].name.endswith(f"{len(files):05d}.safetensors")
    assert index["metadata"]["total_size"] == whole
    held = {name: file.name for file in files for name in load_file(file)}
    assert index["weight_map"] == held
    for file in files:
        assert sum(t.nbytes for t in load_file(file).values()) <= 2 * largest
    assert all(map(weights.is_weight_file, os.listdir(tmp_path)))
    load_safetensors(target, tmp_path, LLAMA)
    equal(model, target)


def test_one_file_up_to_the_limit(model, tmp_path):
    weights.write_shards(model, tmp_path, LLAMA)
    assert os.listdir(tmp_path) == [SINGLE_FILE]
    with pytest.raises(InputError, match="at least 1. Received: 0"):
        weights.write_shards(model, tmp_path, LLAMA, shard_bytes=0)


def test_each_tensor_may_have_a_shard_of_its_own(model, target, tmp_path):
    weights.write_shards(model, tmp_path, LLAMA, shard_bytes=1)
    count = len(json.loads((tmp_path / INDEX_FILE).read_text())["weight_map"])
    assert len(list(tmp_path.glob("model-*"))) == count
    load_safetensors(target, tmp_path, LLAMA)
    equal(model, target)


def test_an_index_that_points_outside(target, file):
    index = shards(file, ["a.safetensors", "b.safetensors"])
    index.write_text(index.read_text().replace("a.saf", "../a.saf"))
    refused(target, file.parent, "../a.safetensors")


def tied(file: Path, **changes):
    """A tied llama and its file with more tensors."""
    model = decoder(CONFIGS["linear"])
    save_safetensors(model, file, LLAMA)
    rewrite(file, **changes)
    return model, build_decoder(CONFIGS["linear"])


def test_buffers_and_equal_copies_are_no_weights(tmp_path):
    file = tmp_path / SINGLE_FILE
    frequencies = "model.layers.2.self_attn.rotary_emb.inv_freq"
    model, target = tied(file, **{frequencies: np.ones(2, "float32")})
    copy = load_file(file)["model.embed_tokens.weight"]
    rewrite(file, **{"lm_head.weight": copy})
    load_safetensors(target, file, LLAMA)
    equal(model, target)


def test_a_copy_that_says_something_else(tmp_path):
    file = tmp_path / SINGLE_FILE
    head = np.ones((61, 16), "float32")
    _, target = tied(file, **{"lm_head.weight": head})
    refused(target, file, "lm_head.weight", "tie_word_embeddings")


def test_a_killed_save_leaves_the_previous_file(model, file, monkeypatch):
    before, calls = file.read_bytes(), []

    def fail(values):
        calls.append(values)
        if len(calls) > 5:
            raise OSError("disk full")
        return values[0]

    broken = type("Broken", (weights.Layout,), {"join": lambda s, v: fail(v)})
    rows = tuple(Row(r.theirs, r.ours, broken()) for r in LLAMA.rows)
    with pytest.raises(OSError, match="disk full"):
        save_safetensors(model, file, WeightTable(rows))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_each_dtype_travels_exactly(tmp_path, dtype):
    model = decoder(CONFIGS["gpt2"], dtype)
    save_safetensors(model, tmp_path / SINGLE_FILE, GPT2)
    tensors = load_file(tmp_path / SINGLE_FILE)
    assert {str(t.dtype) for t in tensors.values()} == {dtype}
    target = build_decoder(CONFIGS["gpt2"], dtype)
    load_safetensors(target, tmp_path, GPT2)
    equal(model, target)


DTYPES = ("float64", "float32", "float16", "bfloat16")


@pytest.mark.parametrize("target_dtype", DTYPES[1:])
@pytest.mark.parametrize("file_dtype", DTYPES)
def test_each_dtype_is_read_at_each(model, file, file_dtype, target_dtype):
    """Rounded once, from what is in the file, as NumPy does."""
    stored = {k: v.astype(file_dtype) for k, v in load_file(file).items()}
    save_file(stored, file)
    target = build_decoder(CONFIGS["llama"], target_dtype)
    load_safetensors(target, file, LLAMA)
    up = target.get_layer("block_1").mlp.up.kernel
    np.testing.assert_array_equal(
        np.asarray(up.numpy()), stored[UP].T.astype(target_dtype)
    )


def test_a_file_of_mixed_dtypes(model, target, file):
    tensors = load_file(file)
    for name, dtype in zip(tensors, itertools.cycle(DTYPES), strict=False):
        tensors[name] = tensors[name].astype("bfloat16").astype(dtype)
    save_file(tensors, file)
    load_safetensors(target, file, LLAMA)
    for ours, theirs in zip(
        target.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(
            ours, theirs.astype("bfloat16").astype("float32")
        )


@pytest.mark.parametrize(
    ("stored", "value", "dtype"),
    [
        ("float32", 70000.0, "float16"),
        ("bfloat16", 1e30, "float16"),
        ("float64", 1e300, "float32"),
        ("float64", -1e300, "bfloat16"),
    ],
)
def test_a_value_that_our_dtype_cannot_hold(file, stored, value, dtype):
    tensor = load_file(file)[UP].astype(stored)
    tensor[3, 4] = value
    rewrite(file, **{UP: tensor})
    target = build_decoder(CONFIGS["llama"], dtype)
    refused(target, file, UP, dtype, 'dtype="float32"')


def test_memory_is_the_model_and_a_few_tensors(tmp_path):
    config = zoo.config("mini", vocabulary_size=300, tie_embeddings=False)
    model, target = build_decoder(config), build_decoder(config)
    largest = max(w.nbytes for w in model.get_weights())
    whole = sum(w.nbytes for w in model.get_weights())
    assert whole > 30 * largest
    for work in (
        lambda: save_safetensors(model, tmp_path / SINGLE_FILE, LLAMA),
        lambda: load_safetensors(target, tmp_path, LLAMA),
    ):
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * largest, f"{peak} bytes for {largest}"
    equal(model, target)
