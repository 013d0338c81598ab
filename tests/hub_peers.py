"""Tiny random KerasHub models, for comparison with ours."""

import functools
import importlib.util
import io
from typing import Any

import numpy as np
import pytest

from keras_llm import CausalLM, zoo
from keras_llm.tokenizers import HostTokenizer
from keras_llm.tokenizers.byte_text import spell
from keras_llm.zoo import hub_tables as tables

needs_keras_hub = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="needs the extra hub-interop",
)
WORDS = "the quick brown fox jumps over the lazy dog, and a rose is a rose."
TEXTS = [WORDS, WORDS.title(), "It's 7 am; isn't it? 12 dogs say: 'no way!'"]
LENGTH = 24
HIDDEN = {"num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
PLAIN = {**HIDDEN, "vocabulary_size": 330}
GROUPED = {**PLAIN, "num_query_heads": 4, "num_key_value_heads": 2}
UNGROUPED = {**GROUPED, "num_key_value_heads": 4}
GPT = {**PLAIN, "num_heads": 2, "max_sequence_length": LENGTH}
LLAMA31 = {
    "rope_max_wavelength": 5000,
    "rope_frequency_adjustment_factor": 8.0,
    "rope_low_freq_factor": 1.0,
    "rope_high_freq_factor": 4.0,
    "rope_pretraining_sequence_length": 16,
}
EXPERTS = {"num_experts": 4, "top_k": 2}
QWEN_MOE = {**GROUPED, **EXPERTS, "moe_intermediate_dim": 10, "head_dim": 6}
SANDWICH = {"use_post_ffw_norm": True, "use_post_attention_norm": True}
GEMMA = {**GROUPED, "head_dim": 6}
GEMMA2 = {
    **{**GEMMA, **SANDWICH, "num_layers": 3, "sliding_window_size": 5},
    **{"use_sliding_window_attention": True, "num_key_value_heads": 1},
    **{"attention_logit_soft_cap": 2.0, "final_logit_soft_cap": 3.0},
}
GEMMA3 = {
    **{**GEMMA, **SANDWICH, "image_size": 8, "num_layers": 7},
    **{"use_sliding_window_attention": True, "sliding_window_size": 5},
}
SMOL = {
    **{**PLAIN, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False},
    **{"num_layers": 4, "rope_layer_enabled_list": [True, True, True, False]},
    **{"layer_types": ["full_attention"] * 4, "rope_theta": 5e4},
    **{"max_position_embeddings": LENGTH, "partial_rotary_factor": 1.0},
    "layer_norm_epsilon": 1e-5,
}
SU = {
    **{"rope_scaling_type": "su", "max_sequence_length": LENGTH},
    **{"pretraining_sequence_length": 8, "rope_max_wavelength": 5000},
    "rope_scaling_short_factor": [1.0, 1.5],
    "rope_scaling_long_factor": [2.0, 3.5],
}

# Name of the case -> family, keys of its backbone.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", GPT),
    "gpt2 deep": ("gpt2", {**GPT, "num_layers": 3, "num_heads": 4}),
    "gpt_neo_x": ("gpt_neo_x", {**GPT, "layer_norm_epsilon": 1e-3}),
    "gpt_neo_x turned": (
        "gpt_neo_x",
        {**GPT, "rotary_percentage": 0.5, "rotary_max_wavelength": 500},
    ),
    "llama": ("llama", {**UNGROUPED, "layer_norm_epsilon": 1e-3}),
    "llama3": ("llama3", {**GROUPED, **LLAMA31}),
    "llama3 tied": ("llama3", {**GROUPED, "tie_word_embeddings": True}),
    "mistral": ("mistral", {**GROUPED, "sliding_window": 5}),
    "mistral wide": (
        "mistral",
        {**UNGROUPED, "sliding_window": None, "head_dim": 6}
        | {"rope_scaling_factor": 2.0},
    ),
    "mixtral": ("mixtral", {**GROUPED, **EXPERTS, "sliding_window": 5}),
    "qwen": ("qwen", GROUPED),
    "qwen window": (
        "qwen",
        {**UNGROUPED, "tie_word_embeddings": False, "sliding_window_size": 5}
        | {"use_sliding_window_attention": True, "rope_scaling_factor": 2.0},
    ),
    "qwen3": (
        "qwen3",
        {**GROUPED, "head_dim": 6, "layer_norm_epsilon": 1e-5},
    ),
    "qwen3 window": (
        "qwen3",
        {**UNGROUPED, "head_dim": 4, "tie_word_embeddings": False}
        | {"sliding_window_size": 5, "layer_norm_epsilon": 1e-5},
    ),
    "qwen3_moe": ("qwen3_moe", QWEN_MOE),
    "qwen3_moe tied": (
        "qwen3_moe",
        {**QWEN_MOE, "norm_top_k_prob": True, "tie_word_embeddings": True},
    ),
    "gemma": ("gemma", GEMMA),
    "gemma2": ("gemma", GEMMA2),
    "gemma3": ("gemma3", GEMMA3),
    "gemma3 scaled": (
        "gemma3",
        {**GEMMA3, "num_layers": 6, "global_rope_scaling_factor": 8.0},
    ),
    "gemma3 global": (
        "gemma3",
        {**GEMMA3, "use_sliding_window_attention": False, "num_layers": 2}
        | {"use_query_key_norm": False},
    ),
    "phi3": ("phi3", {**GROUPED, "max_sequence_length": LENGTH}),
    "phi3 long": ("phi3", {**UNGROUPED, **SU}),
    "gpt_oss": (
        "gpt_oss",
        {**GROUPED, **EXPERTS, "head_dim": 6, "sliding_window": 5},
    ),
    "gpt_oss yarn": (
        "gpt_oss",
        {**UNGROUPED, **EXPERTS, "rope_scaling_factor": 32.0}
        | {"rope_max_wavelength": 150000, "sliding_window": 3},
    ),
    "smollm3": ("smollm3", SMOL),
    "smollm3 biased": ("smollm3", {**SMOL, "attention_bias": True}),
}

# Family -> the special tokens that KerasHub's tokenizer asks for.
SPECIAL = {
    "gpt2": ["<|endoftext|>"],
    "gpt_neo_x": ["<|endoftext|>"],
    "llama3": [
        *("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        *("<|start_header_id|>", "<|end_header_id|>"),
    ],
    "qwen": ["<|endoftext|>"],
    "qwen3": ["<|im_end|>", "<|endoftext|>"],
    "qwen3_moe": ["<|im_end|>", "<|endoftext|>"],
    "gpt_oss": ["<|endoftext|>"],
    "smollm3": [
        *("<|begin_of_text|>", "<|end_of_text|>", "<think>", "</think>"),
    ],
}
PIECES = {
    "phi3": {"eos_piece": "<|endoftext|>"},
    **dict.fromkeys(
        ("gemma", "gemma3"),
        {"bos_piece": "<bos>", "eos_piece": "<eos>", "pad_piece": "<pad>"}
        | {"pad_id": 3, "add_dummy_prefix": False},
    ),
}


def classes(family: str, kind: str) -> Any:
    """Returns one of KerasHub's classes of a family."""
    import keras_hub

    prefix = tables.HUB_FAMILIES[family].classes
    return getattr(keras_hub.models, prefix + kind)


def backbone(name: str, **changes: Any) -> Any:
    """Returns a backbone of a case whose weights are all random."""
    family, keys = CASES[name]
    built = classes(family, "Backbone")(**{**keys, **changes})
    random = np.random.default_rng(7)
    for weight in built.weights:
        if weight.trainable:
            offset = 1.0 if weight.path.endswith(("scale", "gamma")) else 0.0
            values = random.normal(offset, 0.2, weight.shape)
            weight.assign(values.astype("float32"))
    return built


def tokenizer(family: str) -> Any:
    """Returns a KerasHub tokenizer of a family, learnt from `TEXTS`."""
    build = classes(family, "Tokenizer")
    if family in SPECIAL:
        ours = byte_pairs(family)
        return build(
            vocabulary={
                **{spell(t): i for t, i in ours.ranks.items()},
                **ours.special_tokens,
            },
            merges=[f"{spell(a)} {spell(b)}" for a, b in ours.merges],
        )
    return build(proto=pieces(family), **tables.HUB_FAMILIES[family].tokenizer)


@functools.cache
def byte_pairs(family: str) -> Any:
    """A vocabulary of ours, from which theirs is spelled."""
    trained = HostTokenizer.train(
        *(TEXTS * 3, 290),
        pattern=tables.HUB_FAMILIES[family].pattern,
        special_tokens=SPECIAL[family],
        bos=None,
        eos=None,
        progress=False,
    )
    return trained.vocabulary


@functools.cache
def pieces(family: str) -> bytes:
    """A SentencePiece model with the family's special pieces."""
    import sentencepiece

    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=proto,
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        minloglevel=2,
        **PIECES.get(family, {}),
    )
    return proto.getvalue()


def task(name: str) -> Any:
    """Returns a whole KerasHub model of a case, text in and text out."""
    family, _ = CASES[name]
    preprocessor = classes(family, "CausalLMPreprocessor")(
        tokenizer(family), sequence_length=LENGTH
    )
    built = classes(family, "CausalLM")(
        backbone=backbone(name), preprocessor=preprocessor
    )
    built.compile(sampler="greedy", jit_compile=False)
    return built


def logits(model: Any, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the logits of a KerasHub backbone."""
    hidden = model({"token_ids": tokens, "padding_mask": mask})
    return np.asarray(model.token_embedding(hidden, reverse=True))


@functools.cache
def theirs(name: str) -> Any:
    """Returns the KerasHub model of a case, made once."""
    return task(name)


@functools.cache
def ours(name: str) -> CausalLM:
    """Returns what we make of it, made once."""
    return zoo.from_keras_hub(theirs(name))
