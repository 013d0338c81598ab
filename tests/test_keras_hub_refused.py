"""What KerasHub has and we do not, or the other way round, is refused."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hub_peers import LENGTH, backbone, needs_keras_hub, ours, theirs
from hub_peers import tokenizer as hub_tokenizer

from keras_llm import CausalLM, InputError, zoo
from keras_llm.tokenizers import BytePairTokenizer
from keras_llm.zoo.hub_tables import hub_family

pytestmark = needs_keras_hub


def refused(words: str) -> Any:
    return pytest.raises(InputError, match=words)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("gemma", {"query_head_dim_normalize": False}, "query_head_dim_norm"),
        ("gemma", {"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon=1e-05"),
        ("gemma", {"use_post_ffw_norm": True}, "use_post_attention_norm and"),
        ("gemma3", {"local_rope_scaling_factor": 2.0}, "local_rope_scaling"),
        ("llama", {"rope_position_scaling_factor": 4.0}, "rope_position_scal"),
        ("qwen3", {"layer_norm_epsilon": 1e-3}, "layer_norm_epsilon"),
        ("qwen3_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step=2"),
        ("smollm3", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ],
)
def test_settings_that_are_not_understood(name, changes, words):
    hub = backbone(name, **changes)
    length = None if name == "smollm3" else LENGTH
    with refused(words):
        zoo.from_keras_hub(hub, hub_tokenizer("gpt2"), context_length=length)


def test_an_unknown_setting():
    hub = backbone("gpt2")
    known = hub.get_config()
    hub.get_config = lambda: {**known, "heads_swapped": True}
    with refused("heads_swapped=True"):
        zoo.from_keras_hub(hub, hub_tokenizer("gpt2"))


def test_lora_weights():
    hub = backbone("gpt2")
    hub.enable_lora(2)
    with refused("query/lora_kernel_a .* instead of nothing.*LoRA"):
        zoo.from_keras_hub(hub, hub_tokenizer("gpt2"))


def test_a_weight_of_another_shape():
    hub = backbone("gpt2")
    known = hub.get_config()
    hub.get_config = lambda: {**known, "intermediate_dim": 20}
    with refused(r"dense/kernel \(16, 24\) instead of \(16, 20\)"):
        zoo.from_keras_hub(hub, hub_tokenizer("gpt2"))


def test_sources_that_lack_something(tmp_path):
    import keras_hub

    with refused("tokenizer beside it"):
        zoo.from_keras_hub(backbone("gpt2"))
    with refused("Expected a context_length"):
        zoo.from_keras_hub(backbone("qwen"), hub_tokenizer("qwen"))
    with refused("has one of its own, 24"):
        zoo.from_keras_hub(theirs("gpt2"), context_length=12)
    with refused("save_to_preset"):
        zoo.from_keras_hub(tmp_path / "nowhere")
    with refused("Received: Decoder"):
        zoo.from_keras_hub(ours("gpt2").model)
    with refused("GPT2Backbone.*Received: BloomBackbone"):
        bloom = keras_hub.models.BloomBackbone(
            vocabulary_size=9,
            num_layers=1,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=8,
        )
        zoo.from_keras_hub(bloom, hub_tokenizer("gpt2"))
    with refused("SentencePiece.*Received: GPT2Tokenizer"):
        zoo.from_keras_hub(
            backbone("gemma"), hub_tokenizer("gpt2"), context_length=LENGTH
        )


def test_models_that_a_family_cannot_say(tmp_path):
    with refused("Expected a family of KerasHub out of gpt2"):
        zoo.to_keras_hub(ours("gpt2"), "gpt3")
    with refused("norm='layer'.*norm='rms'"):
        zoo.to_keras_hub(ours("qwen"), "gpt2")
    with refused("SmolLM3Tokenizer.*think>'"):
        zoo.to_keras_hub(ours("llama3 tied"), "smollm3")
    with refused("with SentencePiece.*Received: BytePairTokenizer"):
        zoo.to_keras_hub(ours("llama3"), "llama")
    (tmp_path / "diary.txt").write_text("dear")
    with refused("diary.txt"):
        zoo.save_keras_hub(ours("gpt2"), tmp_path, "gpt2")


def test_tokenizers_that_start_or_end_otherwise():
    lm = ours("qwen")
    vocabulary = lm.tokenizer.vocabulary

    def with_ends(**ends: str | None) -> CausalLM:
        changed = dataclasses.replace(vocabulary, **ends)
        return CausalLM(lm.model, BytePairTokenizer(changed))

    with refused("starts a text with the id None"):
        zoo.to_keras_hub(with_ends(bos="<|endoftext|>"), "qwen")
    with pytest.warns(UserWarning, match="always ends a text"):
        zoo.to_keras_hub(with_ends(eos=None), "qwen")


def test_keras_hub_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    for convert in (zoo.from_keras_hub, zoo.to_keras_hub):
        with refused(r"pip install 'keras_llm\[hub-interop\]'"):
            convert(ours("gpt2"), "gpt2")


def test_nothing_of_ours_imports_keras_hub():
    script = (
        "import sys, keras_llm.zoo, keras_llm.export, keras_llm.cli;"
        "print({'keras_hub', 'tensorflow'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("preset", "family"),
    [
        *(("gpt2-xl", "gpt2"), ("llama-2-7b", "llama")),
        *(("llama-3.2-1b", "llama3"), ("mistral-7b-v0.1", "mistral")),
        *(("mixtral-8x7b", "mixtral"), ("qwen2.5-0.5b", "qwen")),
        *(("qwen3-0.6b", "qwen3"), ("qwen3-30b-a3b", "qwen3_moe")),
        *(("gemma-2b", "gemma"), ("gemma-2-9b", "gemma")),
        *(("gemma-3-12b", "gemma3"), ("phi-3-mini-128k", "phi3")),
        ("smollm3-3b", "smollm3"),
    ],
)
def test_published_sizes_that_kerashub_can_say(preset, family):
    hub, config = hub_family(family), zoo.config(preset)
    values = hub.write(hub.nearest(config))
    assert values["hidden_dim"] == config.hidden_dim


@pytest.mark.parametrize(
    ("preset", "family", "words"),
    [
        ("pythia-70m", "gpt_neo_x", "mlp='gelu'.*mlp='gelu_exact'"),
        ("gpt-oss-20b", "gpt_oss", "pattern='GL.*pattern='LG"),
        ("gemma-2-27b", "gemma", "attention_scale"),
        ("phi-3-mini-4k", "phi3", "window=2047"),
        ("phi-4-mini", "phi3", "short_factors"),
    ],
)
def test_published_sizes_that_have_no_equal(preset, family, words):
    hub = hub_family(family)
    with refused(words):
        hub.write(hub.nearest(zoo.config(preset)))
