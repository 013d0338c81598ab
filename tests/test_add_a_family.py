"""The guide and the notebook on adding a family run, and do what they say."""

import json
import runpy

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sources import ROOT
from test_docs import blocks

from keras_llm import CausalLM, InputError, build_decoder, zoo
from keras_llm.tokenizers import BytePairTokenizer
from keras_llm.tokenizers.chat import TEMPLATES
from keras_llm.zoo import registry

GUIDE = ROOT / "docs" / "add_a_family.md"
NOTEBOOK = ROOT / "notebooks" / "13_add_a_family.py"


@pytest.fixture
def room(monkeypatch, tmp_path):
    """A folder to work in, and no family or template that stays behind."""
    monkeypatch.setattr(registry, "_registered", {})
    for name in list(TEMPLATES):
        monkeypatch.setitem(TEMPLATES, name, TEMPLATES[name])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_LLM_TINY", "1")
    yield tmp_path
    TEMPLATES.pop("camel", None)


@pytest.fixture
def guide(room) -> dict:
    """The names that the guide's code leaves."""
    names: dict = {"__name__": "guide"}
    for number, code in enumerate(blocks(GUIDE.read_text("utf-8"), "python")):
        exec(compile(code, f"{GUIDE.name}, block {number}", "exec"), names)
    return names


def test_a_family_added_at_run_time_reads_and_writes_checkpoints(guide, room):
    """The guide's family, from another program's files and back, byte-equal."""
    model = build_decoder(zoo.config("camel-calf"))
    values = zoo.find_family("camel").to_hugging_face(model.config)
    zoo.save_hugging_face(model, room / "saved", "camel")
    random = np.random.default_rng(3)
    tensors = {
        name: random.normal(size=tensor.shape).astype("float32")
        for name, tensor in load_file(room / "saved/model.safetensors").items()
    }
    assert "camel.h.1.mlp.gate_up.weight" in tensors
    (room / "theirs").mkdir()
    save_file(tensors, room / "theirs/model.safetensors")
    (room / "theirs/config.json").write_text(
        json.dumps(values | {"pretraining_tp": 1, "mlp_bias": False})
    )
    loaded = zoo.load_hugging_face(room / "theirs")
    assert loaded.config == zoo.config("camel-calf")
    zoo.save_hugging_face(loaded, room / "back", "camel")
    back = load_file(room / "back/model.safetensors")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].tobytes() == tensor.tobytes()
    query = loaded.get_layer("block_0").attention.query.kernel
    fused = tensors["camel.h.0.attn.qkv.weight"]
    np.testing.assert_array_equal(query, fused[:32].T)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"humps": 2}, "humps=2"),
        ({"mlp_bias": True}, "mlp_bias=True"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"vocab_size": None}, "vocab_size"),
    ],
)
def test_what_the_family_does_not_understand_is_refused(guide, change, words):
    family = guide["CAMEL"]
    values = family.to_hugging_face(zoo.config("camel-calf"))
    with pytest.raises(InputError, match=words):
        family.from_hugging_face(values | change)


def test_its_chat_template_is_that_of_its_models(guide):
    template = TEMPLATES[guide["CAMEL"].chat]
    tokenizer = BytePairTokenizer.train(
        ["water"], 261, special_tokens=template.special, bos="<s>", eos=None
    )
    lm = CausalLM(
        build_decoder(zoo.config("camel-calf")), tokenizer, chat=template
    )
    assert isinstance("".join(lm.chat("Water?", max_new_tokens=3)), str)
    assert lm.end_ids == (tokenizer.special_tokens["<|stop|>"],)
    assert (
        template.render(" Water? ", True) == "<s><|ask|>Water?<|stop|><|say|>"
    )


def test_a_name_is_taken_once(guide):
    with pytest.raises(InputError, match="camel"):
        zoo.register(guide["CAMEL"])


def test_the_notebook_runs(room, capsys):
    left = runpy.run_path(str(NOTEBOOK))
    shown = capsys.readouterr().out
    assert "Received: 'lark'" in shown
    assert "18 tensors are what they were" in shown
    assert left["model"].config == zoo.config("lark-egg")
    np.testing.assert_allclose(left["logits"], left["expected"], atol=1e-4)
    assert left["difference"] > 0.1
    assert left["sung"] == left["VERSE"]
