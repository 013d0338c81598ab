"""Random tiny models of `transformers`, the peer of the parity tests."""

import numpy as np

_GPT2 = dict(vocab_size=64, n_positions=32, n_embd=16, n_layer=2, n_head=4)
_LLAMA = dict(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    tie_word_embeddings=True,
)
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 300.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}

# Name -> (family, what its config has beside the sizes above).
CASES: dict[str, tuple[str, dict]] = {
    "gpt2": ("gpt2", {}),
    "gpt2_untied_exact_gelu": (
        "gpt2",
        dict(tie_word_embeddings=False, activation_function="gelu", n_inner=24),
    ),
    "llama": ("llama", {}),
    "llama3": (
        "llama",
        dict(
            num_key_value_heads=2,
            tie_word_embeddings=False,
            rope_parameters=_LLAMA3,
        ),
    ),
    "llama_linear": (
        "llama",
        dict(
            num_key_value_heads=1,
            rope_parameters={"rope_type": "linear", "factor": 3.0},
        ),
    ),
    "llama_yarn": ("llama", dict(rope_parameters=_YARN)),
    "llama_yarn_set": (
        "llama",
        dict(
            rope_parameters=_YARN
            | dict(attention_factor=1.3, beta_fast=8.0, beta_slow=0.5)
        ),
    ),
    "llama_older_form": (
        "llama",
        dict(rope_scaling=_LLAMA3, rope_theta=300.0),
    ),
    "llama_biases_wide_heads": (
        "llama",
        dict(attention_bias=True, mlp_bias=True, head_dim=6),
    ),
}
GOLDEN = ("gpt2", "llama", "llama3")

TOKENS = np.random.default_rng(3).integers(0, 64, (2, 24), dtype="int32")


def random_model(name: str):
    """Returns a `transformers` model whose every weight matters."""
    import torch
    import transformers

    family, differences = CASES[name]
    sizes, config, model = {
        "gpt2": (
            _GPT2,
            transformers.GPT2Config,
            transformers.GPT2LMHeadModel,
        ),
        "llama": (
            _LLAMA,
            transformers.LlamaConfig,
            transformers.LlamaForCausalLM,
        ),
    }[family]
    ends = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    built = model(config(**(sizes | ends | differences))).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.25)
    return built


def peer_logits(model, tokens: np.ndarray = TOKENS) -> np.ndarray:
    """Returns the logits of a `transformers` model."""
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(tokens).long()).logits.float().numpy()
