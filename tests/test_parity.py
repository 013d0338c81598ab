"""The same logits as `transformers`, from its files and from ours."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from contract import CONFIGS, decoder
from peers import CASES, GOLDEN, TOKENS, peer_logits, random_model
from safetensors.numpy import load_file

from keras_llm import zoo
from keras_llm.layers import new_cache
from keras_llm.step import decoder_step

HERE = Path(__file__).parent / "golden"
TOLERANCE = 1e-4

live = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))),
    reason="torch or transformers is missing; golden files need neither",
)
OURS = {
    "gpt2": CONFIGS["gpt2"],
    **{name: CONFIGS[name] for name in ("llama", "llama3", "yarn", "linear")},
    "tiny": zoo.config("tiny", vocabulary_size=300, hidden_dim=48),
}


def same(ours, theirs) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert np.abs(theirs).max() > 0.5, "the logits say nothing"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_logits(name):
    golden = np.load(HERE / f"parity_{name}" / "logits.npz")
    model = zoo.load_hugging_face(HERE / f"parity_{name}")
    same(model(golden["tokens"]), golden["logits"])


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_logits_with_the_cache(name):
    golden = np.load(HERE / f"parity_{name}" / "logits.npz")
    model = zoo.load_hugging_face(HERE / f"parity_{name}")
    step, tokens = decoder_step(model), golden["tokens"]
    rows, time = tokens.shape
    caches, pieces = new_cache(model.config, rows, time), []
    for start, end in ((0, 9), (9, 10), (10, time)):
        positions = np.tile(np.arange(start, end, dtype="int32"), (rows, 1))
        logits, caches = step(tokens[:, start:end], positions, caches)
        pieces.append(np.asarray(logits))
    same(np.concatenate(pieces, 1), golden["logits"])


@pytest.mark.parametrize("name", GOLDEN)
def test_saving_gives_back_the_same_bytes(name, tmp_path):
    source = HERE / f"parity_{name}"
    family = json.loads((source / "config.json").read_text())["model_type"]
    model = zoo.load_hugging_face(source)
    zoo.save_hugging_face(model, tmp_path / "again", family)
    before = load_file(source / "model.safetensors")
    after = load_file(tmp_path / "again" / "model.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        assert value.tobytes() == after[key].tobytes(), key


@live
@pytest.mark.parametrize("name", CASES)
def test_theirs_loads_here(name, tmp_path):
    theirs = random_model(name)
    theirs.save_pretrained(tmp_path)
    same(zoo.load_hugging_face(tmp_path)(TOKENS), peer_logits(theirs))


@live
@pytest.mark.parametrize("name", GOLDEN)
def test_theirs_loads_from_shards(name, tmp_path):
    theirs = random_model(name)
    theirs.save_pretrained(tmp_path, max_shard_size="8kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    same(zoo.load_hugging_face(tmp_path)(TOKENS), peer_logits(theirs))


@live
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_theirs_loads_without_its_head(name, tmp_path):
    """GPT-2 on the hub is the bare body: no name has the prefix."""
    theirs = random_model(name)
    body = theirs.transformer if name == "gpt2" else theirs.model
    body.save_pretrained(tmp_path)
    same(zoo.load_hugging_face(tmp_path)(TOKENS), peer_logits(theirs))


@live
@pytest.mark.parametrize("name", GOLDEN)
def test_theirs_loads_from_bfloat16(name, tmp_path):
    theirs = random_model(name)
    theirs.bfloat16().save_pretrained(tmp_path)
    # Read again: bfloat16() has rounded the rotary speeds too.
    exact = type(theirs).from_pretrained(tmp_path, dtype="float32")
    same(zoo.load_hugging_face(tmp_path)(TOKENS), peer_logits(exact))


@live
@pytest.mark.parametrize("name", OURS)
def test_ours_loads_there(name, tmp_path):
    import transformers

    model = decoder(OURS[name])
    family = "gpt2" if OURS[name].rope is None else "llama"
    zoo.save_hugging_face(model, tmp_path / "ours", family)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours"
    ).eval()
    tokens = TOKENS % model.config.vocabulary_size
    same(model(tokens), peer_logits(theirs, tokens))
    again = zoo.load_hugging_face(tmp_path / "ours")
    np.testing.assert_array_equal(again(tokens), model(tokens))


@live
def test_ours_in_bfloat16_loads_there(tmp_path):
    import torch
    import transformers

    model = decoder(OURS["llama"], "bfloat16")
    zoo.save_hugging_face(model, tmp_path / "ours", "llama")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours"
    )
    assert theirs.dtype == torch.bfloat16
    kernel = model.get_layer("block_0").mlp.up.kernel
    weight = theirs.model.layers[0].mlp.up_proj.weight.detach().float()
    np.testing.assert_array_equal(
        np.asarray(kernel, "float32").T, weight.numpy()
    )
