"""The same logits as `transformers`, from its files and from ours.

Golden files (see peers.py) stand for `transformers` where torch is missing.
"""

import functools
import importlib.util
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from families import CASES, FAMILIES, FIRST
from peers import (
    CONFIG,
    ROWS,
    SHORT,
    TIME,
    TOKENS,
    VOCABULARY,
    WEIGHTS,
    golden_cases,
    load_there,
    peer_logits,
    peer_model,
    unpack_golden,
)
from safetensors.numpy import load_file

from keras_llm import zoo
from keras_llm.layers import new_cache
from keras_llm.step import decoder_step

TOLERANCE = 1e-4
LENGTHS = np.array([TIME, SHORT])
ORDER = np.tile(np.arange(TIME, dtype="int32"), (ROWS, 1))

live = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))),
    reason="torch or transformers is missing; golden files need neither",
)
LIVE = [
    pytest.param(*case, marks=[] if case in FIRST else [pytest.mark.slow])
    for case in CASES
]
every = pytest.mark.parametrize(("family", "variant"), golden_cases())
every_live = pytest.mark.parametrize(("family", "variant"), LIVE)
FIRST_OF = dict(FIRST)
first = pytest.mark.parametrize(("family", "variant"), FIRST)


def same(ours, theirs) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert np.abs(theirs).max() > 0.5, "the logits say nothing"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


@functools.cache
def golden(family: str, variant: str):
    """The golden model here, and its logits there."""
    with tempfile.TemporaryDirectory() as folder:
        logits = unpack_golden(family, variant, Path(folder))
        return zoo.load_hugging_face(folder), logits


def check_same_tensors(source: Path, again: Path) -> None:
    """The same names, dtypes and bytes."""
    before, after = (load_file(f / WEIGHTS) for f in (source, again))
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype
        assert value.tobytes() == after[key].tobytes(), key


def inside(values) -> np.ndarray:
    """The rows up to LENGTHS; zeros behind, where nothing is promised."""
    mask = ORDER < LENGTHS[:, None]
    return values * mask.reshape(*mask.shape, *[1] * (values.ndim - 2))


def right_padded(model) -> np.ndarray:
    """Logits of rows that end at LENGTHS."""
    segments = inside(np.ones_like(TOKENS))
    inputs = {"tokens": inside(TOKENS), "segments": segments}
    return inside(np.asarray(model(inputs)))


def test_every_variant_has_a_golden_file():
    assert sorted(golden_cases()) == sorted(CASES)


def test_every_family_is_compared():
    types = {family.model_type for family in zoo.families()}
    assert types == set(FAMILIES)


@every
def test_golden_logits(family, variant):
    model, logits = golden(family, variant)
    same(model(TOKENS), logits)


@every
def test_golden_logits_with_padding(family, variant):
    model, logits = golden(family, variant)
    same(right_padded(model), inside(logits))
    # And on the left: the short row starts at position 0 in column `pad`.
    pad = TIME - SHORT
    places = np.maximum(ORDER[:1] - pad, 0)
    inputs = {
        "tokens": TOKENS[1:, places[0]],
        "positions": places,
        "segments": (ORDER[:1] >= pad).astype("int32"),
    }
    same(model(inputs)[:, pad:], logits[1:, :SHORT])


@every
def test_golden_logits_with_the_cache(family, variant):
    model, logits = golden(family, variant)
    step, pieces = decoder_step(model), []
    caches = new_cache(model.config, ROWS, TIME)
    for start, end in ((0, 9), (9, 10), (10, TIME)):
        now = slice(start, end)
        some, caches = step(TOKENS[:, now], ORDER[:, now], caches)
        pieces.append(np.asarray(some))
    same(np.concatenate(pieces, 1), logits)


@every
def test_saving_gives_back_the_same_bytes(family, variant, tmp_path):
    unpack_golden(family, variant, tmp_path)
    model, _ = golden(family, variant)
    zoo.save_hugging_face(model, tmp_path / "again", family)
    check_same_tensors(tmp_path, tmp_path / "again")


def check_golden(family, variant, folder: Path, theirs: Path) -> None:
    """The golden file says what `transformers` writes today."""
    unpack_golden(family, variant, folder)
    check_same_tensors(folder, theirs)
    now, then = (json.loads((f / CONFIG).read_text()) for f in (theirs, folder))
    del now["transformers_version"]
    assert now == then


@pytest.mark.slow
@first
def test_a_mixed_up_tensor_would_be_seen(family, variant):
    """Rows in another order change the logits, of each weight alone."""
    model, logits = golden(family, variant)
    for weight in model.weights:
        if model.config.rope is None and weight.path.endswith("key/bias"):
            continue  # adds the same to all of a query's scores
        right = np.asarray(weight)
        weight.assign(np.flip(right, 0))
        change = np.abs(np.asarray(model(TOKENS)) - logits).max()
        weight.assign(right)
        assert change > 10 * TOLERANCE, weight.path


@live
@every_live
def test_both_ways(family, variant, tmp_path):
    """Theirs loads here, padded or not; what we save loads there."""
    theirs, folder = peer_model(family, variant, tmp_path), tmp_path / "golden"
    model = zoo.load_hugging_face(tmp_path)
    logits = peer_logits(theirs)
    same(model(TOKENS), logits)
    same(right_padded(model), inside(peer_logits(theirs, list(LENGTHS))))
    zoo.save_hugging_face(model, tmp_path / "again", family)
    check_same_tensors(tmp_path, tmp_path / "again")
    same(peer_logits(load_there(tmp_path / "again")), logits)
    folder.mkdir()
    check_golden(family, variant, folder, tmp_path)


@live
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_theirs_loads_from_shards(family, tmp_path):
    theirs = peer_model(family, FIRST_OF[family], tmp_path / "whole")
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="8kB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    model = zoo.load_hugging_face(tmp_path / "shards")
    same(model(TOKENS), peer_logits(theirs))


@live
@pytest.mark.parametrize("variant", ["tied"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_theirs_loads_without_its_head(family, variant, tmp_path):
    """GPT-2 on the hub is the bare body: no name has the prefix."""
    theirs = peer_model(family, variant, tmp_path / "whole")
    body = getattr(theirs, theirs.base_model_prefix)
    body.save_pretrained(tmp_path / "body")
    model = zoo.load_hugging_face(tmp_path / "body")
    same(model(TOKENS), peer_logits(theirs))


@live
@first
def test_bfloat16_both_ways(family, variant, tmp_path):
    theirs = peer_model(family, variant, tmp_path / "whole")
    theirs.bfloat16().save_pretrained(tmp_path / "half")
    # Read again in float32: bfloat16() has rounded the rotary speeds too.
    exact = type(theirs).from_pretrained(tmp_path / "half", dtype="float32")
    same(zoo.load_hugging_face(tmp_path / "half")(TOKENS), peer_logits(exact))
    half = zoo.load_hugging_face(tmp_path / "half", "bfloat16")
    zoo.save_hugging_face(half, tmp_path / "again", family)
    assert str(load_there(tmp_path / "again").dtype) == "torch.bfloat16"
    check_same_tensors(tmp_path / "half", tmp_path / "again")


@live
def test_a_size_of_our_own_loads_there(tmp_path):
    from contract import decoder

    config = zoo.config("tiny", vocabulary_size=VOCABULARY, hidden_dim=48)
    model = decoder(config)
    zoo.save_hugging_face(model, tmp_path, "llama")
    same(model(TOKENS), peer_logits(load_there(tmp_path)))
