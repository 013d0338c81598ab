"""zoo.load: published folders and our own, and what it refuses."""

import importlib.util
import json
import shutil
import warnings

import contract
import numpy as np
import pytest
from published import (
    BOS,
    CHATML,
    CONFIG,
    PROMPTS,
    TEXT,
    by_hand,
    by_transformers,
    byte_level,
    greedy_there,
    load_there,
    own_tokenizer,
    sentence_pieces,
)
from safetensors.numpy import load_file, save_file

from keras_llm import CausalLM, DecoderConfig, InputError, Rope, zoo
from keras_llm.sketch import blank_decoder
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.zoo.chat_jinja import read_chat, recognise
from keras_llm.zoo.generation_config import settings_of, write_generation

live = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))),
    reason="torch or transformers is missing",
)
GROUPED = dict(num_key_value_heads=2, intermediate_size=48)
CASES = {
    "gpt2": ("gpt2", False, {}),
    "llama": ("llama", True, GROUPED),
    "llama_tied": ("llama", False, GROUPED | dict(tie_word_embeddings=True)),
    "qwen3": ("qwen3", False, GROUPED | dict(head_dim=8)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A llama with a tokenizer that puts <s> first. Not to be changed."""
    return by_hand(tmp_path_factory.mktemp("published") / "llama")


@pytest.fixture
def copy(folder, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(folder, tmp_path / "copy")


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def same_as_there(lm, model, tokenizer) -> None:
    """Equal ids, logits and greedy text."""
    import torch

    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        assert lm.encode_prompt(prompt) == ids
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits.numpy()
        ours = np.asarray(lm.model(np.array([ids], "int32")))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        text = greedy_there(model, tokenizer, prompt, 12)
        assert lm.generate(prompt, max_new_tokens=12) == text


@live
@pytest.mark.parametrize("case", CASES)
def test_a_folder_of_transformers(case, tmp_path):
    family, bos, config = CASES[case]
    model, tokenizer = by_transformers(tmp_path, family, bos, **config)
    lm = zoo.load(tmp_path)
    assert lm.origin.family == family
    assert lm.starts is bos
    same_as_there(lm, model, tokenizer)


@live
def test_gpt2s_files_without_a_prefix_and_in_shards(tmp_path):
    model, tokenizer = by_transformers(tmp_path, "gpt2", False)
    tensors = load_file(tmp_path / "model.safetensors")
    bare = {k.removeprefix("transformer."): v for k, v in tensors.items()}
    assert "wte.weight" in bare
    save_file(bare, tmp_path / "model.safetensors")
    same_as_there(zoo.load(tmp_path), model, tokenizer)
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    (tmp_path / "model.safetensors").unlink()
    assert len(list(tmp_path.glob("model-*"))) > 1
    same_as_there(zoo.load(tmp_path), model, tokenizer)


@live
def test_several_end_ids(tmp_path):
    """The text ends at each of them, as in transformers."""
    by_transformers(tmp_path, "llama", True, **GROUPED)
    free = zoo.load(tmp_path)
    text = free.generate("a", max_new_tokens=12)
    ids = free.tokenizer.encode(text, allowed_special="all")
    path = tmp_path / "generation_config.json"
    ends = [1, ids[4], ids[7]]
    path.write_text(json.dumps({"eos_token_id": ends}))
    lm = zoo.load(tmp_path)
    assert lm.end_ids == tuple(ends)
    model, tokenizer = load_there(tmp_path)
    assert model.generation_config.eos_token_id == ends
    text = greedy_there(model, tokenizer, "a", 12)
    assert lm.generate("a", max_new_tokens=12) == text
    assert len(text) < len(free.generate("a", max_new_tokens=12))


def test_sampling_defaults_become_settings(copy):
    given = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.9,
        "max_length": 9,
    }
    (copy / "generation_config.json").write_text(json.dumps(given))
    settings = zoo.load(copy).settings
    assert (settings.temperature, settings.top_p) == (0.6, 0.9)
    assert settings.top_k == 50  # the default of transformers
    assert settings.samples


@pytest.mark.parametrize(
    "given",
    [
        {"do_sample": True, "top_k": 0, "temperature": 0.7},
        {"do_sample": True, "min_p": 0.1, "repetition_penalty": 1.1},
        {"max_new_tokens": 9, "repetition_penalty": 1.3},
    ],
)
def test_settings_survive_a_generation_config(given):
    settings = settings_of(given)
    assert settings_of(write_generation(settings, [1, 2], 0)) == settings


def test_a_setting_that_we_lack_is_named(copy):
    given = {"no_repeat_ngram_size": 3, "num_beams": 1, "typical_p": 1.0}
    (copy / "generation_config.json").write_text(json.dumps(given))
    with pytest.warns(UserWarning, match="no_repeat_ngram_size=3, which"):
        zoo.load(copy)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("said", [{}, {"add_bos_token": True}])
def test_what_starts_a_text(copy, first, said):
    """tokenizer.json decides, whatever tokenizer_config.json says."""
    (copy / "tokenizer.json").write_text(byte_level(bos=first).to_str())
    (copy / "tokenizer_config.json").write_text(json.dumps(BOS | said))
    lm = zoo.load(copy)
    assert lm.start_id == (0 if first else None)
    assert (lm.encode_prompt("a")[0] == 0) is first


@live
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("add_bos", [True, False, None])
def test_it_starts_texts_as_transformers_does(copy, first, add_bos):
    import transformers

    config = BOS | {"tokenizer_class": "PreTrainedTokenizerFast"}
    if add_bos is not None:
        config["add_bos_token"] = add_bos
    (copy / "tokenizer.json").write_text(byte_level(bos=first).to_str())
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = transformers.AutoTokenizer.from_pretrained(copy)
    ids = tokenizer("a king").input_ids
    assert zoo.load(copy).encode_prompt("a king") == ids


@pytest.mark.parametrize("add_bos", [True, False, None])
def test_a_sentence_piece_model_alone(tmp_path, add_bos):
    """Llama 2's way: tokenizer.model and nearly nothing beside it."""
    said = {} if add_bos is None else {"add_bos_token": add_bos}
    by_hand(tmp_path, tokenizer=None, tokenizer_config=BOS | said)
    (tmp_path / "tokenizer.model").write_bytes(sentence_pieces())
    lm = zoo.load(tmp_path)
    assert lm.start_id == (None if add_bos is False else 1)
    lm.save(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours")
    assert again.encode_prompt("A king.") == lm.encode_prompt("A king.")
    assert again.generate("A king", max_new_tokens=8) == lm.generate(
        "A king", max_new_tokens=8
    )


def test_our_own_folder_keeps_everything(copy, tmp_path):
    given = {"eos_token_id": [1, 7], "max_new_tokens": 5}
    (copy / "generation_config.json").write_text(json.dumps(given))
    config = BOS | {"chat_template": CHATML}
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    lm = zoo.load(copy)
    lm.save(tmp_path / "ours")
    again = zoo.load(tmp_path / "ours")
    for name in ("config", "end_ids", "starts", "origin", "settings"):
        assert getattr(again, name) == getattr(lm, name)
    assert again.chat_template == TEMPLATES["chatml"]
    assert again.end_ids == (1, 7)
    assert again.generate("a king") == lm.generate("a king")
    other = again.replace(end_ids=None)
    assert other.end_ids == (1, 3)  # eos, and the end of a turn
    assert other.origin.family == "llama"


def test_a_shorter_context(copy, tmp_path):
    lm = zoo.load(copy, context_length=16)
    assert lm.config == CONFIG.replace(context_length=16)
    text = zoo.load(copy).generate("a king", max_new_tokens=8)
    assert lm.generate("a king", max_new_tokens=8) == text
    refuses(lambda: lm.generate(TEXT), "context of 16 tokens")
    lm.save(tmp_path / "ours")
    assert (
        zoo.load(tmp_path / "ours", context_length=8).config.context_length == 8
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(context_length=128), ("up to 64", "128", "rope=", "yarn")),
        (dict(num_layers=3), ("num_layers", "context_length, dropout, rope")),
        (dict(rope=None), ("another kind of positions",)),
        (dict(hiden_dim=3), ("hiden_dim",)),
        (dict(context_length=0), ("context_length",)),
    ],
)
def test_changes_that_do_not_fit(copy, changes, words):
    refuses(lambda: zoo.load(copy, **changes), *words)


def test_a_longer_context_with_another_rope(copy):
    rope = Rope(scaling="yarn", factor=2.0, original_context=64)
    lm = zoo.load(copy, context_length=128, rope=rope)
    assert lm.config.context_length == 128
    assert lm.generate(TEXT[:80], max_new_tokens=3)


def test_learned_positions_are_as_many_as_they_are(tmp_path):
    config = DecoderConfig(
        **dict(contract._SIZE, vocabulary_size=300),
        norm="layer",
        mlp="gelu",
        bias="all",
        rope=None,
    )
    CausalLM(contract.decoder(config), own_tokenizer()).save(tmp_path)
    refuses(lambda: zoo.load(tmp_path, context_length=8), "learned")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_is_chosen_at_load(folder, dtype):
    lm = zoo.load(folder, dtype)
    assert {str(w.dtype) for w in lm.model.weights} == {dtype}
    assert isinstance(lm.generate("a king", max_new_tokens=3), str)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("tiny", ("published weights", "keras-llm train --size tiny")),
        ("gpt2-midium", ("none of them", "gpt2-medium")),
        ("no such folder", ("Expected a model folder", "'no such folder'")),
        ("./runs/nothing", ("Expected a model folder",)),
        ("a/b/c", ("Expected a model folder",)),
    ],
)
def test_names_of_nothing(source, words):
    refuses(lambda: zoo.load(source), *words)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", contract.CONFIGS)
def test_a_blank_decoder_is_a_decoder(name, dtype):
    config = contract.CONFIGS[name].replace(dropout=0.1)
    drawn = contract.decoder(config, dtype)
    blank = blank_decoder(config, dtype)
    assert not any(np.any(w) for w in blank.get_weights())
    for kind in ("weights", "trainable_variables"):
        paths = [[v.path for v in getattr(m, kind)] for m in (drawn, blank)]
        assert paths[0] == paths[1]
    blank.set_weights(drawn.get_weights())
    tokens = contract.tokens_of(2, 9)
    np.testing.assert_array_equal(
        np.asarray(blank(tokens)), np.asarray(drawn(tokens))
    )


def test_a_folder_of_something_else(tmp_path, folder):
    refuses(lambda: zoo.load(tmp_path), "Received: neither")
    refuses(lambda: zoo.load(folder, revision="main"), "local", "'main'")


def test_a_folder_without_a_tokenizer(copy):
    (copy / "tokenizer.json").unlink()
    refuses(lambda: zoo.load(copy), "tokenizer files", "load_hugging_face")
    assert zoo.load_hugging_face(copy).config == CONFIG


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("config.json", "{", ("config.json", "damaged")),
        ("tokenizer.json", "{", ("tokenizer.json",)),
        ("tokenizer_config.json", "{", ("tokenizer_config.json",)),
        ("generation_config.json", "[]", ("generation_config.json", "list")),
        (
            "generation_config.json",
            '{"do_sample": true, "top_p": 7}',
            ("top_p", "7"),
        ),
        ("generation_config.json", '{"eos_token_id": 999}', ("end_ids", "999")),
        ("model.safetensors", "", ("model.safetensors", "download")),
    ],
)
def test_a_damaged_file_is_named(copy, file, text, words):
    (copy / file).write_text(text)
    refuses(lambda: zoo.load(copy), *words)


def test_a_config_with_one_unknown_key(copy):
    values = json.loads((copy / "config.json").read_text())
    values["qk_clip"] = 4.0
    (copy / "config.json").write_text(json.dumps(values))
    refuses(lambda: zoo.load(copy), "qk_clip=4.0", "nothing was loaded")


def test_a_vocabulary_larger_than_the_models(copy):
    values = json.loads((copy / "tokenizer.json").read_text())
    entry = values["added_tokens"][0]
    more = [{**entry, "id": 320 + i, "content": f"<{i}>"} for i in range(3)]
    values["added_tokens"] += more
    (copy / "tokenizer.json").write_text(json.dumps(values))
    refuses(lambda: zoo.load(copy), "at most 320 tokens", "323")


def chat_of(copy, **config) -> str | None:
    """The name of the template that a folder's files lead to."""
    (copy / "tokenizer_config.json").write_text(json.dumps(BOS | config))
    return read_chat(copy, zoo.load(copy).tokenizer, None)


@pytest.mark.parametrize("form", ["text", "list", "file"])
def test_a_chat_template_is_recognised(copy, form):
    if form == "file":
        (copy / "chat_template.jinja").write_text(CHATML)
        assert chat_of(copy) == "chatml"
        return
    named = [
        {"name": "tool_use", "template": "{{ 1 }}"},
        {"name": "default", "template": CHATML},
    ]
    text = CHATML if form == "text" else named
    assert chat_of(copy, chat_template=text) == "chatml"


def test_one_more_space_is_another_template():
    assert recognise(CHATML, {}) == ["chatml"]
    assert recognise(CHATML.replace("'\n'", "' \n'"), {}) == []
    assert recognise("{% for", {}) == []
    training = CHATML.replace(
        "{{ '<|im_start|>' +", "{% generation %}{{ '<|im_start|>' +", 1
    )
    training = training.replace("{% endfor", "{% endgeneration %}{% endfor", 1)
    assert recognise(training, {}) == ["chatml"]


def test_a_template_that_nobody_knows_is_said(copy):
    with pytest.warns(UserWarning, match="none of those that keras_llm knows"):
        assert chat_of(copy, chat_template="{{ messages[0].content }}") is None


def test_tokens_decide_which_templates_fit(folder):
    tokenizer = zoo.load(folder).tokenizer
    assert read_chat(folder, tokenizer, "chatml") == "chatml"
    assert read_chat(folder, tokenizer, "gemma") is None


def test_a_template_cannot_reach_out_of_its_sandbox():
    text = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recognise(text, {}) == []
