"""Adapters of `peft` here, and ours there, with the same logits."""

import numpy as np
import pytest
from adapted import EVERY, change_config, change_tensors, cut
from keras import ops
from peers import TOKENS, load_there, peer_logits, peer_model

from keras_llm import adapters, zoo
from keras_llm.adapters import Lora, attach
from keras_llm.errors import InputError

torch = pytest.importorskip("torch", reason="torch is not installed")
peft = pytest.importorskip("peft", reason="peft is not installed")

# peft 0.21 asks transformers 5.24 for what will be removed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
# Family, variant, and modules of theirs: fused and not, turns taken or not.
THEIRS = [
    ("llama", "biases_wide_heads", ["q_proj", "v_proj", "down_proj"]),
    ("gpt2", "tied", ["c_attn", "c_fc"]),
    ("qwen2", "grouped_tied", "all-linear"),
    ("gemma", "one_kv_head", ["q_proj", "o_proj"]),
    ("gpt_neox", "parallel", ["query_key_value", "dense"]),
    ("phi3", "half_turned", ["qkv_proj", "gate_up_proj"]),
]
SETTINGS = {
    "lora": dict(r=3, lora_alpha=5),
    "dora": dict(r=3, lora_alpha=5, use_dora=True),
    "ranks": dict(
        r=3, lora_alpha=5, rank_pattern={"1..*": 2}, alpha_pattern={"0..*": 7}
    ),
    "stabilized": dict(r=4, lora_alpha=2, use_rslora=True, lora_dropout=0.3),
}
CASES = [
    *((*case, "lora") for case in THEIRS),
    *((*THEIRS[index], "dora") for index in (0, 1, 4)),
    (*THEIRS[2], "ranks"),
    (*THEIRS[0], "stabilized"),
]


def logits(model):
    return ops.convert_to_numpy(model(TOKENS))


def stir(parameters):
    """Gives adapters of theirs values that matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            drawn = torch.rand(parameter.shape, generator=generator)
            parameter += (drawn - 0.5) * 0.4


def written_there(folder, family, variant, targets, **settings):
    """A folder of theirs, and the logits it gives there."""
    peer_model(family, variant, folder / "base")
    config = peft.LoraConfig(
        target_modules=targets,
        task_type="CAUSAL_LM",
        fan_in_fan_out=family == "gpt2",
        **settings,
    )
    theirs = peft.get_peft_model(load_there(folder / "base"), config).eval()
    stir(p for name, p in theirs.named_parameters() if "lora_" in name)
    theirs.save_pretrained(folder / "adapter")
    return peer_logits(theirs)


@pytest.mark.parametrize(("family", "variant", "targets", "kind"), CASES)
def test_theirs_gives_the_same_logits_here(
    tmp_path, family, variant, targets, kind
):
    expected = written_there(
        tmp_path, family, variant, targets, **SETTINGS[kind]
    )
    model = zoo.load_hugging_face(tmp_path / "base")
    base = logits(model)
    zoo.load_peft(model, tmp_path / "adapter", family)
    assert np.abs(base - expected).max() > 1e-2
    np.testing.assert_allclose(logits(model), expected, atol=5e-5)
    adapters.activate(model, None)
    np.testing.assert_array_equal(logits(model), base)


OURS = [
    ("llama", "grouped_scaled", Lora(rank=3)),
    ("llama", "grouped_scaled", Lora(rank=2, targets=EVERY, dora=True)),
    ("gpt2", "tied", Lora(rank=2)),  # query and value of a fused matrix
    ("gpt2", "tied", Lora(rank=2, dora=True, targets=("query", "mlp/.*"))),
    ("gpt2", "tied", Lora(rank=2, targets=EVERY, rank_stabilized=True)),
    ("qwen2", "grouped_tied", Lora(rank=2, targets=("block_1/.*",))),
    ("gemma", "one_kv_head", Lora(rank=2, targets=EVERY)),
    ("gpt_neox", "parallel", Lora(rank=2, targets=("key", "down"), dora=True)),
]


@pytest.mark.parametrize(("family", "variant", "lora"), OURS)
def test_ours_gives_the_same_logits_there(tmp_path, family, variant, lora):
    peer_model(family, variant, tmp_path / "base")
    model = zoo.load_hugging_face(tmp_path / "base")
    attach(model, lora)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        change = random.normal(size=variable.shape).astype("float32") * 0.1
        variable.assign(variable + change)
    zoo.save_peft(model, tmp_path / "adapter", family)
    base = load_there(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    np.testing.assert_allclose(peer_logits(theirs), logits(model), atol=5e-5)
    # And back.
    zoo.load_peft(model, tmp_path / "adapter", family, "back")
    np.testing.assert_allclose(peer_logits(theirs), logits(model), atol=5e-5)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peft")
    written_there(folder, *THEIRS[0], **SETTINGS["lora"])
    return folder


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
BROKEN = {
    "whole safetensors": cut,
    "no such file": lambda f: (f / "adapter_model.safetensors").unlink(),
    "lora_A.weight": lambda f: change_tensors(f, lambda t: t.pop(FIRST)),
    "rank 5": lambda f: change_config(f, r=5),
    "PROMPT_TUNING": lambda f: change_config(f, peft_type="PROMPT_TUNING"),
    "'bias': 'all'": lambda f: change_config(f, bias="all"),
    "pissa": lambda f: change_config(f, init_lora_weights="pissa"),
    "modules_to_save": lambda f: change_config(f, modules_to_save=["lm_head"]),
    "some_new_thing": lambda f: change_config(f, some_new_thing=3),
    "Dense layers": lambda f: change_tensors(
        f, lambda t: t.update({FIRST.replace("q_proj", "x_proj"): t[FIRST]})
    ),
    "only tensors of LoRA": lambda f: change_tensors(
        f, lambda t: t.update({"base_model.model.lm_head.weight": t[FIRST]})
    ),
    "not finite": lambda f: change_tensors(
        f, lambda t: t.update({FIRST: t[FIRST] * np.nan})
    ),
    "instead of": lambda f: change_tensors(
        f, lambda t: t.update({FIRST: np.ones((3, 5), "float32")})
    ),
}


@pytest.mark.parametrize("words", BROKEN)
def test_what_is_wrong_is_said(written, tmp_path, words):
    import shutil

    shutil.copytree(written / "adapter", tmp_path / "adapter")
    BROKEN[words](tmp_path / "adapter")
    model = zoo.load_hugging_face(written / "base")
    with pytest.raises(InputError, match=words):
        zoo.load_peft(model, tmp_path / "adapter", "llama")
    assert adapters.adapter_names(model) == []
    assert type(model).__name__ == "Decoder"
