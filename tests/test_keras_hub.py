"""KerasHub's models become ours and ours theirs: logits, ids, text, files."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hub_peers import (
    CASES,
    LENGTH,
    TEXTS,
    backbone,
    classes,
    logits,
    needs_keras_hub,
    ours,
    theirs,
)
from hub_peers import tokenizer as hub_tokenizer
from sources import ROOT

from keras_llm import export, zoo
from keras_llm.layers import new_cache
from keras_llm.step import decoder_step
from keras_llm.zoo.hub_tables import HUB_FAMILIES
from keras_llm.zoo.hub_tokenizers import from_hub_tokenizer, to_hub_tokenizer

pytestmark = needs_keras_hub
TOLERANCE = 1e-4
PROMPT = "the quick"
FOUR = ("gpt2", "llama3", "qwen", "gemma")
ONE_EACH = {family: name for name, (family, _) in reversed(CASES.items())}
TOKENS = np.random.default_rng(1).integers(0, 330, (2, LENGTH)).astype("int32")
MASK = (np.arange(LENGTH) < [[LENGTH], [LENGTH - 7]]).astype("int32")


def same(found: Any, expected: Any, mask: Any = MASK) -> None:
    found, expected = np.asarray(found)[mask > 0], expected[mask > 0]
    assert np.abs(expected).max() > 0.5, "the logits say nothing"
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def slow_unless(chosen: Any, every: Any) -> list:
    """The cases; those that are not chosen are slow."""
    return [
        pytest.param(name, marks=() if name in chosen else pytest.mark.slow)
        for name in every
    ]


def test_every_family_has_a_case():
    assert set(ONE_EACH) == set(HUB_FAMILIES)


@pytest.mark.parametrize("name", CASES)
def test_logits_with_padding(name):
    expected = logits(theirs(name).backbone, TOKENS, MASK)
    found = ours(name).model({"tokens": TOKENS, "segments": MASK})
    same(found, expected)


@pytest.mark.parametrize("name", slow_unless(ONE_EACH.values(), CASES))
def test_logits_with_the_cache(name):
    every = np.ones_like(MASK)
    step, pieces = decoder_step(ours(name).model), []
    caches = new_cache(ours(name).config, 2, LENGTH)
    for start, end in ((0, 9), (9, 10), (10, LENGTH)):
        positions = np.tile(np.arange(start, end, dtype="int32"), (2, 1))
        found, caches = step(TOKENS[:, start:end], positions, caches)
        pieces.append(np.asarray(found))
    expected = logits(theirs(name).backbone, TOKENS, every)
    same(np.concatenate(pieces, 1), expected, every)


def below(weight: Any, model: Any) -> tuple[str, int]:
    """Which of its layer's weights this is, and of which layer."""
    return next(
        (layer.name, i)
        for layer in model.layers
        for i, each in enumerate(layer.weights)
        if each is weight
    )


@pytest.mark.parametrize("name", slow_unless(ONE_EACH.values(), CASES))
def test_back_again_with_the_same_weights(name):
    again = zoo.to_keras_hub(ours(name), CASES[name][0]).backbone
    before, after = theirs(name).backbone, again
    copies = {below(weight, after): weight for weight in after.weights}
    for weight in before.weights:
        np.testing.assert_array_equal(copies[below(weight, before)], weight)
    same(logits(after, TOKENS, MASK), logits(before, TOKENS, MASK))


@pytest.mark.parametrize("family", HUB_FAMILIES)
def test_ids_of_ordinary_text(family):
    hub, lm = theirs(ONE_EACH[family]), ours(ONE_EACH[family])
    for text in TEXTS:
        expected = [int(i) for i in hub.preprocessor.tokenizer(text)]
        assert lm.tokenizer.encode(text) == expected
        assert lm.tokenizer(tf.constant(text)).numpy().tolist() == expected
        packed = hub.preprocessor.generate_preprocess(
            [text], sequence_length=LENGTH
        )
        prompt = np.asarray(packed["token_ids"])[0]
        size = int(np.asarray(packed["padding_mask"]).sum())
        assert lm.encode_prompt(text)[:size] == prompt[:size].tolist()


# With its cache, KerasHub's GPT-NeoX turns every new token as the first one,
# so that its text is not what its own logits say.
@pytest.mark.parametrize(
    "family", slow_unless(FOUR, [f for f in HUB_FAMILIES if f != "gpt_neo_x"])
)
def test_greedy_text(family):
    hub, lm = theirs(ONE_EACH[family]), ours(ONE_EACH[family])
    room = LENGTH - len(lm.encode_prompt(PROMPT))
    found = lm.generate(PROMPT, max_new_tokens=room)
    for token in hub.preprocessor.tokenizer.special_tokens:
        found = found.replace(token, "")  # KerasHub never shows them
    expected = hub.generate(PROMPT, max_length=LENGTH)
    assert found and PROMPT + found == expected


@pytest.mark.parametrize("name", ["gpt_neo_x", "qwen window"])
def test_text_is_what_their_logits_say(name):
    """Where their own generation is wrong, or ends in an error."""
    hub, lm = theirs(name).backbone, ours(name)
    ids = lm.encode_prompt(PROMPT)
    start = len(ids)
    for _ in range(6):
        tokens = np.array([ids], "int32")
        last = logits(hub, tokens, np.ones_like(tokens))[0, -1]
        ids.append(int(last.argmax()))
    assert not set(ids[start:]) & set(lm.end_ids)
    found = lm.generate(PROMPT, max_new_tokens=6)
    assert found == lm.decode(ids[start:])


@pytest.mark.parametrize("family", FOUR)
def test_a_preset_folder(family, tmp_path):
    import keras_hub

    name = ONE_EACH[family]
    for _ in range(2):  # the second replaces the first
        zoo.save_keras_hub(ours(name), tmp_path / "preset", family)
    hub = keras_hub.models.CausalLM.from_preset(str(tmp_path / "preset"))
    assert type(hub) is type(theirs(name))
    expected = logits(theirs(name).backbone, TOKENS, MASK)
    same(logits(hub.backbone, TOKENS, MASK), expected)
    lm = zoo.from_keras_hub(tmp_path / "preset")
    assert lm.config == ours(name).config
    assert lm.tokenizer.fingerprint == ours(name).tokenizer.fingerprint
    same(lm.model({"tokens": TOKENS, "segments": MASK}), expected)


def test_a_tied_llama_loads_from_its_folder(tmp_path):
    """KerasHub's own save of it does not load: its config forgets the tie."""
    lm = ours("llama3 tied")
    assert lm.config.tie_embeddings
    zoo.save_keras_hub(lm, tmp_path / "preset", "llama3")
    again = zoo.from_keras_hub(tmp_path / "preset")
    assert not again.config.tie_embeddings
    same(again.model(TOKENS), np.asarray(lm.model(TOKENS)))


def test_published_qwen3_is_as_good_as_equal():
    """KerasHub has another epsilon on queries and keys than it says."""
    hub = backbone("qwen3", layer_norm_epsilon=1e-6)
    lm = zoo.from_keras_hub(hub, hub_tokenizer("qwen3"), context_length=LENGTH)
    found = np.asarray(lm.model(TOKENS))
    expected = logits(hub, TOKENS, np.ones_like(TOKENS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_bfloat16_stays_bfloat16():
    lm = zoo.from_keras_hub(
        backbone("gpt2", dtype="bfloat16"), hub_tokenizer("gpt2")
    )
    kernel = lm.model.get_layer("block_0").mlp.up.kernel
    assert kernel.dtype == "bfloat16"
    same(lm.model(TOKENS), np.asarray(lm.model(TOKENS), "float32"))


# === What follows from a converted model ===


@pytest.mark.slow
@pytest.mark.parametrize("family", FOUR)
def test_a_converted_model_becomes_a_saved_model(family, tmp_path):
    lm = ours(ONE_EACH[family])
    report = export.saved_model(lm, tmp_path / "model", max_new_tokens=8)
    run = tf.saved_model.load(report.path).signatures["serving_default"]
    found = run(prompt=tf.constant([PROMPT]))["text"].numpy()[0].decode()
    assert found == lm.generate(PROMPT, max_new_tokens=8)


@pytest.mark.slow
@pytest.mark.parametrize("family", FOUR)
def test_a_converted_model_becomes_a_litert_bundle(family, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    report = export.litert(ours(ONE_EACH[family]), tmp_path / "m.litertlm")
    assert report.equal_text and report.runtime_equal


@pytest.mark.slow
def test_the_page_about_keras_hub_runs(tmp_path):
    page = (ROOT / "docs" / "keras_hub.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in HUB_FAMILIES)
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def lines_of_a_book(shared_data: Path) -> list[str]:
    book = shared_data / "gutenberg" / "Moby-Dick--Or-The-Whale_2701.txt"
    text = book.read_text(encoding="utf-8")[30000:60000]
    return [line for line in text.splitlines() if line.strip()]


def test_gpt2_as_published(shared_data):
    """In a graph, where KerasHub cuts a text as GPT-2 does."""
    folder, family = shared_data / "gpt2_bpe", HUB_FAMILIES["gpt2"]
    words = json.loads((folder / "encoder.json").read_text("utf-8"))
    merges = (folder / "vocab.bpe").read_text("utf-8").splitlines()
    hub = classes("gpt2", "Tokenizer")(vocabulary=words, merges=merges)
    found = from_hub_tokenizer(hub, family)
    lines, encode = lines_of_a_book(shared_data)[:20], tf.function(hub)
    expected = [encode(tf.constant([x]))[0].numpy().tolist() for x in lines]
    assert found.encode(lines) == expected
    again = to_hub_tokenizer(found, family)
    assert again.vocabulary == words and again.merges == merges[1:]


def test_mistral_as_published(shared_data):
    folder, family = shared_data / "tokenizers", HUB_FAMILIES["mistral"]
    proto = (folder / "mistral" / "tokenizer.model.v1").read_bytes()
    hub = classes("mistral", "Tokenizer")(proto=proto)
    found, lines = from_hub_tokenizer(hub, family), lines_of_a_book(shared_data)
    assert found.encode(lines) == [[int(i) for i in ids] for ids in hub(lines)]
    assert to_hub_tokenizer(found, family).proto == proto
