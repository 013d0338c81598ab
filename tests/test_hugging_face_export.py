"""What `export.hugging_face` writes is what `transformers` loads."""

import importlib.util
import json
import os

import contract
import numpy as np
import pytest
from families import FIRST
from jinja2 import TemplateError
from peers import GOLDEN
from published import (
    BOS,
    CHATML,
    PROMPTS,
    TEXT,
    by_hand,
    greedy_ids,
    load_there,
    own_tokenizer,
    sentence_pieces,
)

from keras_llm import CausalLM, ExportError, InputError, zoo
from keras_llm.export import hugging_face
from keras_llm.export.hugging_face_tokenizer import TEXTS
from keras_llm.export.jinja_text import jinja_text
from keras_llm.sampling import GenerationSettings
from keras_llm.tokenizers import load as load_tokenizer
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.zoo.chat_jinja import PROBES

live = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))),
    reason="torch or transformers is missing",
)
FILE = "model.safetensors"
QUICK = ("gpt2", "llama", "gemma2", "qwen3_moe")
KINDS = [
    pytest.param(*case, marks=[] if case[0] in QUICK else [pytest.mark.slow])
    for case in dict(FIRST, phi3="window").items()
]


@pytest.fixture(scope="module")
def tokenizer():
    return own_tokenizer()


def model_of(kind: str, tokenizer) -> CausalLM:
    config = contract.CONFIGS[kind].replace(
        vocabulary_size=320, context_length=64
    )
    return CausalLM(contract.decoder(config), tokenizer)


def published(family: str, variant: str, tokenizer) -> CausalLM:
    """A family's own tiny model, with a larger vocabulary."""
    with np.load(GOLDEN / f"{family}.npz") as golden:
        values = json.loads(str(golden[f"{variant}/config.json"]))
    config = zoo.find_family(family).from_hugging_face(values)
    model = contract.decoder(config.replace(vocabulary_size=320))
    return CausalLM(model, tokenizer)


@pytest.fixture(scope="module")
def lm(tokenizer):
    return model_of("llama", tokenizer)


def refuses(call, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def same_there(lm, folder) -> None:
    """Equal ids, logits, greedy text and end ids in transformers."""
    import torch

    model, tokenizer = load_there(folder)
    ends = model.generation_config.eos_token_id
    assert tuple(ends if isinstance(ends, list) else [ends]) == lm.end_ids
    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        assert ids == lm.encode_prompt(prompt)
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits.numpy()
        ours = np.asarray(lm.model(np.array([ids], "int32")))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        # Of bytes that are no character, SentencePiece and `tokenizers` make
        # different texts; the ids decide.
        text = lm.decode(greedy_ids(model, tokenizer, prompt, 10))
        assert lm.generate(prompt, max_new_tokens=10) == text
    for text in (*TEXTS, TEXT):
        ids = lm.tokenizer.encode(text)
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids) == lm.tokenizer.decode(ids)


@live
@pytest.mark.parametrize(("family", "variant"), KINDS)
def test_transformers_gives_the_same(family, variant, tokenizer, tmp_path):
    lm = published(family, variant, tokenizer)
    report = hugging_face(lm, tmp_path, family=family)
    assert report.model_type == zoo.find_family(family).model_type
    same_there(lm, tmp_path)
    assert zoo.load(tmp_path).config == lm.config


@live
@pytest.mark.parametrize("bos", [True, False])
def test_sentence_pieces_too(tmp_path, bos):
    by_hand(
        tmp_path / "theirs",
        tokenizer=None,
        tokenizer_config=BOS | {"add_bos_token": bos},
    )
    (tmp_path / "theirs" / "tokenizer.model").write_bytes(sentence_pieces())
    lm = zoo.load(tmp_path / "theirs")
    hugging_face(lm, tmp_path / "ours")
    assert (tmp_path / "ours" / "tokenizer.model").is_file()
    same_there(lm, tmp_path / "ours")
    again = load_tokenizer(tmp_path / "ours")
    assert again.fingerprint == lm.tokenizer.fingerprint


@live
def test_sampled_as_here(lm, tmp_path):
    settings = GenerationSettings(
        temperature=0.7, top_k=5, top_p=0.9, stop="x", repetition_penalty=1.1
    )
    hugging_face(lm.replace(settings=settings), tmp_path)
    model, _ = load_there(tmp_path)
    found = model.generation_config
    assert found.do_sample and found.temperature == 0.7
    assert (found.top_k, found.top_p) == (5, 0.9)
    assert found.repetition_penalty == 1.1 and found.stop_strings is None


def test_there_and_back(tmp_path):
    """A published folder, exported, gives the same model again."""
    ends = {"eos_token_id": [1, 7], "do_sample": True, "top_p": 0.9}
    theirs = by_hand(
        tmp_path / "theirs",
        tokenizer_config=BOS | {"chat_template": CHATML},
        generation_config=ends,
    )
    lm = zoo.load(theirs)
    report = hugging_face(lm, tmp_path / "ours")
    again = zoo.load(tmp_path / "ours")
    for name in ("config", "end_ids", "starts", "settings", "chat_template"):
        assert getattr(again, name) == getattr(lm, name)
    files = [
        folder / "model.safetensors" for folder in (theirs, tmp_path / "ours")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert report.chat and report.family == "llama" and report.tensors == 21
    text = lm.generate("a king", max_new_tokens=8, temperature=0)
    assert again.generate("a king", max_new_tokens=8, temperature=0) == text


def test_what_is_written(lm, tmp_path):
    report = hugging_face(lm, tmp_path, shard_bytes=20_000)
    names = set(os.listdir(tmp_path))
    assert {
        *("config.json", "generation_config.json", "README.md"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        "model.safetensors.index.json",
    } <= names
    assert "model.safetensors" not in names
    assert report.bytes == sum(f.stat().st_size for f in tmp_path.iterdir())
    card = (tmp_path / "README.md").read_text()
    assert 'library_name: "transformers"' in card
    hugging_face(lm, tmp_path)  # replaces its own result
    assert "model.safetensors" in os.listdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    refuses(lambda: hugging_face(lm, tmp_path), "notes.txt")


def test_the_family_is_found_or_given(lm, tokenizer, tmp_path):
    mistral = zoo.find_family("mistral")
    assert hugging_face(lm, tmp_path / "a").family == "llama"
    windowed = model_of("mistral", tokenizer)
    assert hugging_face(windowed, tmp_path / "b").family == "mistral"
    given = hugging_face(lm, tmp_path / "c", family=mistral)
    assert given.model_type == "mistral"
    origin = given and zoo.load(tmp_path / "c").origin
    assert origin.family == "mistral"
    kept = hugging_face(zoo.load(tmp_path / "c"), tmp_path / "d")
    assert kept.family == "mistral"  # the one it was loaded from
    refuses(
        lambda: hugging_face(windowed, tmp_path / "e", family="gpt2"), "mlp"
    )
    refuses(lambda: hugging_face(lm, tmp_path / "e", family="lama"), "llama")
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        # Its pattern is longer.
        ("gemma2", {"num_layers": 1, "attention_scale": None}),
        ("llama", {"window": 8}),  # which no layer has
    ],
)
def test_another_pattern_of_the_same_layers(kind, changes, tokenizer, tmp_path):
    lm = model_of(kind, tokenizer)
    lm = lm.replace(model=contract.decoder(lm.config.replace(**changes)))
    hugging_face(lm, tmp_path)
    again = zoo.load(tmp_path)
    assert again.config.layer_kinds == lm.config.layer_kinds
    ids = np.arange(12)[None]
    np.testing.assert_array_equal(again.model(ids), lm.model(ids))


def test_a_model_of_no_family(tokenizer, tmp_path):
    lm = model_of("shared_expert", tokenizer)
    refuses(lambda: hugging_face(lm, tmp_path), "- llama:", "- gpt2:")
    assert not list(tmp_path.iterdir())


def test_wrong_tensors_are_found(lm, tmp_path, monkeypatch):
    from keras_llm.export import hugging_face_export as module

    def spoilt(model, folder, table, most):
        module_write(model, folder, table, most)
        path = folder / FILE
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    module_write = module.write_shards
    monkeypatch.setattr(module, "write_shards", spoilt)
    with pytest.raises(ExportError, match="norm.weight. Nothing was exported"):
        hugging_face(lm, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_tensors_have_the_models_dtype(tmp_path, dtype):
    lm = zoo.load(by_hand(tmp_path / "theirs"), dtype)
    hugging_face(lm, tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["dtype"] == dtype
    again = zoo.load(tmp_path / "ours", dtype)
    for a, b in zip(
        lm.model.get_weights(), again.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@live
@pytest.mark.parametrize("name", TEMPLATES)
def test_each_chat_template_in_transformers_own_jinja(name):
    from transformers.utils.chat_template_utils import render_jinja_template

    template = TEMPLATES[name]
    text = jinja_text(template)
    late = [*PROBES[1], {"role": "system", "content": "Now."}, *PROBES[0]]
    for messages in (*PROBES, late, PROBES[1][1:], []):
        for asked in (False, True):
            try:
                ours = template.render(messages, asked)
            except InputError:
                ours = None
            try:
                theirs = render_jinja_template(
                    conversations=[messages],
                    chat_template=text,
                    add_generation_prompt=asked,
                )[0][0]
            except TemplateError:
                theirs = None
            assert ours == theirs


@live
def test_a_chat_in_transformers(lm, tmp_path):
    hugging_face(lm, tmp_path)
    model, tokenizer = load_there(tmp_path)
    messages = [{"role": "user", "content": "the king?"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    ours, _ = lm.chat_template.encode(lm.tokenizer, messages, True)
    assert list(ids["input_ids"]) == ours
