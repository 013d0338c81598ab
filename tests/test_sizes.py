"""Every preset has as many parameters as its makers published.

Where the exact count is published it must be equal; where only a rounded
figure is, the count must round to it. A second check builds each preset with
`transformers` on the meta device and counts there.
"""

import json

import pytest

from keras_llm import zoo
from keras_llm.config import DecoderConfig
from keras_llm.estimate import count_parameters
from keras_llm.zoo.sizes import PRESETS as OUR_OWN

# Where a figure comes from. An `int` is exact, a `str` is rounded.
HUB = "`params` in the presets of keras_hub 0.32, counted from checkpoints"
# Rounded there; written down from memory of the pages, and not fetched again.
CARD = "the model's page on the Hugging Face hub: card, or size of its files"
LLAMA_1 = "table 2 of https://arxiv.org/abs/2302.13971"
PYTHIA = "the table in https://huggingface.co/EleutherAI/pythia-12b"
GEMMA_1 = "table 2 of https://arxiv.org/abs/2403.08295"
GEMMA_2 = "table 2 of https://arxiv.org/abs/2408.00118"
GEMMA_3 = "table 1 of https://arxiv.org/abs/2503.19786"
GPT_OSS = "table 1 of https://arxiv.org/abs/2508.10925"
MIXTRAL = "https://mistral.ai/news/mixtral-of-experts and mixtral-8x22b"
QWEN = "the tables in https://huggingface.co/Qwen/Qwen2.5-72B, Qwen3-32B, ..."

PUBLISHED: dict[str, tuple[int | str, str]] = {
    "gpt2": (124439808, HUB),
    "gpt2-medium": (354823168, HUB),
    "gpt2-large": (774030080, HUB),
    "gpt2-xl": (1557611200, HUB),
    "llama-1-7b": ("6.7B", LLAMA_1),
    "llama-1-13b": ("13.0B", LLAMA_1),
    "llama-1-30b": ("32.5B", LLAMA_1),
    "llama-1-65b": ("65B", LLAMA_1),  # 65.2B there: cut, not rounded
    "llama-2-7b": (6738415616, HUB),
    "llama-2-13b": ("13.0B", CARD),
    "llama-2-70b": ("69.0B", CARD),
    "llama-3-8b": (8030261248, HUB),
    "llama-3-70b": ("70.6B", CARD),
    "llama-3.1-8b": (8030261248, HUB),
    "llama-3.1-70b": ("70.6B", CARD),
    "llama-3.1-405b": ("406B", CARD),
    "llama-3.2-1b": ("1.24B", CARD),  # KerasHub counts the tied head twice
    "llama-3.2-3b": ("3.21B", CARD),
    "llama-3.3-70b": ("70.6B", CARD),
    "tinyllama-1.1b": ("1.1B", CARD),
    "smollm2-135m": ("135M", CARD),
    "smollm2-360m": ("362M", CARD),
    "smollm2-1.7b": ("1.7B", CARD),
    # KerasHub's 3075100928 has 36 * 64 stored rotary frequencies more.
    "smollm3-3b": (3075100928 - 36 * 64, HUB),
    "mistral-7b-v0.1": (7241732096, HUB),
    "mistral-7b-v0.2": (7241732096, HUB),
    "mistral-7b-v0.3": (7248023552, HUB),
    "mistral-nemo-12b": ("12.2B", CARD),
    "mistral-small-22b": ("22.2B", CARD),
    "mistral-small-24b": (23572403200, HUB),
    "mixtral-8x7b": (46702792704, HUB),
    "mixtral-8x22b": ("141B", MIXTRAL),
    "qwen2-0.5b": ("0.49B", QWEN),
    "qwen2-1.5b": ("1.54B", QWEN),
    "qwen2-7b": ("7.62B", CARD),
    "qwen2-72b": ("72.7B", CARD),
    "qwen2.5-0.5b": (494032768, HUB),
    "qwen2.5-1.5b": (1543714304, HUB),
    "qwen2.5-3b": (3085938688, HUB),
    "qwen2.5-7b": (7615616512, HUB),
    "qwen2.5-14b": ("14.8B", CARD),
    "qwen2.5-32b": (32763876352, HUB),
    "qwen2.5-72b": (72706203648, HUB),
    "qwen3-0.6b": (596049920, HUB),
    "qwen3-1.7b": (1720574976, HUB),
    "qwen3-4b": (4022468096, HUB),
    "qwen3-8b": (8190735360, HUB),
    "qwen3-14b": (14768307200, HUB),
    "qwen3-32b": (32762123264, HUB),
    "qwen3-30b-a3b": (30532122624, HUB),
    "qwen3-235b-a22b": (235093634560, HUB),
    "qwen3-coder-30b-a3b": (30532122624, HUB),
    "qwen3-coder-480b-a35b": ("480B", CARD),
    "pythia-14m": ("14.1M", CARD),
    "pythia-31m": ("30.5M", CARD),
    "pythia-70m": (70426624, PYTHIA),
    "pythia-160m": (162322944, PYTHIA),
    "pythia-410m": (405334016, PYTHIA),
    "pythia-1b": (1011781632, PYTHIA),
    "pythia-1.4b": (1414647808, PYTHIA),
    "pythia-2.8b": (2775208960, PYTHIA),
    "pythia-6.9b": (6857302016, PYTHIA),
    "pythia-12b": (11846072320, PYTHIA),
    "gpt-neox-20b": (20554567680, CARD),
    "gemma-2b": (2506172416, HUB),
    "gemma-7b": (8537680896, HUB),
    "gemma-2-2b": (2614341888, HUB),
    "gemma-2-9b": (9241705984, HUB),
    "gemma-2-27b": (27227128320, HUB),
    "gemma-3-270m": (268098176, HUB),
    "gemma-3-1b": (999885952, HUB),
    # KerasHub's text models end at id 262143; the hub's tables have 64 rows
    # more, for images.
    "gemma-3-4b": (3880099328 + 64 * 2560, HUB),
    "gemma-3-12b": (11765788416 + 64 * 3840, HUB),
    "gemma-3-27b": (27009002240 + 64 * 5376, HUB),
    "phi-3-mini-4k": (3821079552, HUB),
    "phi-3-mini-128k": (3821079552, HUB),
    "phi-3.5-mini": ("3.82B", CARD),
    "phi-3-medium-4k": ("14.0B", CARD),
    "phi-3-medium-128k": ("14.0B", CARD),
    "phi-4": ("14.7B", CARD),
    "phi-4-mini": (3836021760, "safetensors metadata at revision cfbefacb"),
    "olmo-2-1b": ("1.48B", CARD),
    "olmo-2-7b": ("7.30B", CARD),
    "olmo-2-13b": ("13.7B", CARD),
    "olmo-2-32b": ("32.2B", CARD),
    "gpt-oss-20b": (20914757184, HUB),
    "gpt-oss-120b": (116829156672, HUB),
}

# What a token uses, in billions. Qwen's and Mistral's figures count the token
# table, gpt-oss's do not.
ACTIVE = {
    "mixtral-8x7b": ("12.9", MIXTRAL, 0),
    "mixtral-8x22b": ("39", MIXTRAL, 0),
    "qwen3-30b-a3b": ("3.3", QWEN, 0),
    "qwen3-235b-a22b": ("22", QWEN, 0),
    "gpt-oss-20b": ("3.61", GPT_OSS, 1),
    "gpt-oss-120b": ("5.13", GPT_OSS, 1),
}

# Without the tables, as the reports give it; exact for Gemma 1 and 2.
OUTSIDE_THE_TABLES: dict[str, tuple[int | str, str]] = {
    "gemma-2b": (1981884416, GEMMA_1),
    "gemma-7b": (7751248896, GEMMA_1),
    "gemma-2-2b": (2024517888, GEMMA_2),
    "gemma-2-9b": (8324201984, GEMMA_2),
    "gemma-2-27b": (26047480320, GEMMA_2),
    "gemma-3-1b": ("698M", GEMMA_3),
    "gemma-3-4b": ("3209M", GEMMA_3),
    "gemma-3-12b": ("10759M", GEMMA_3),
    "gemma-3-27b": ("25600M", GEMMA_3),
    "qwen2.5-0.5b": ("0.36B", QWEN),
    "qwen2.5-1.5b": ("1.31B", QWEN),
    "qwen2.5-3b": ("2.77B", QWEN),
    "qwen2.5-7b": ("6.53B", QWEN),
    "qwen3-0.6b": ("0.44B", QWEN),
    "qwen3-1.7b": ("1.4B", QWEN),
    "qwen3-4b": ("3.6B", QWEN),
    "qwen3-8b": ("6.95B", QWEN),
    "qwen3-14b": ("13.2B", QWEN),
    "qwen3-32b": ("31.2B", QWEN),
}

PRESETS = [name for name in zoo.list() if name not in OUR_OWN]


def agrees(count: int, published: int | str) -> bool:
    """Equal, or rounded to as many digits as were published."""
    if isinstance(published, int):
        return count == published
    digits, unit = published[:-1], published[-1]
    places = len(digits.partition(".")[2])
    return f"{count / {'B': 1e9, 'M': 1e6}[unit]:.{places}f}" == digits


@pytest.mark.parametrize("name", PRESETS)
def test_the_count_is_the_published_one(name):
    published, source = PUBLISHED[name]
    total = count_parameters(zoo.config(name)).total
    assert agrees(total, published), f"{total:,}; {published} by {source}"


def test_every_published_size_is_a_preset():
    assert sorted(PUBLISHED) == sorted(PRESETS)


@pytest.mark.parametrize("name", ACTIVE)
def test_the_active_count_is_the_published_one(name):
    published, source, without_table = ACTIVE[name]
    parts = count_parameters(zoo.config(name))
    active = parts.active - without_table * parts.embedding
    assert active / 1e9 == pytest.approx(float(published), rel=0.02), source


@pytest.mark.parametrize("name", OUTSIDE_THE_TABLES)
def test_the_count_without_tables_is_the_published_one(name):
    published, source = OUTSIDE_THE_TABLES[name]
    parts = count_parameters(zoo.config(name))
    outside = parts.total - parts.embedding - parts.head
    assert agrees(outside, published), f"{outside:,}; {published} by {source}"


@pytest.mark.parametrize("name", PRESETS)
def test_transformers_counts_as_many(name):
    """Blocks are all alike: one and two of them tell how many there are."""
    pytest.importorskip("torch", reason="transformers counts on torch tensors")
    family = next(f for f in zoo.families() if name in f.presets)
    config = zoo.config(name)
    first, second = (counted(family, config, layers) for layers in (1, 2))
    total = first + (config.num_layers - 1) * (second - first)
    assert count_parameters(config).total == total


def counted(family, config: DecoderConfig, layers: int) -> int:
    """The parameters of transformers' model on a device without memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = json.loads(json.dumps(family.to_hugging_face(config)))
    for key, value in values.items():
        if key in ("num_hidden_layers", "n_layer"):
            values[key] = layers
        elif isinstance(value, list) and len(value) == config.num_layers:
            values[key] = value[:layers]  # a word or a number for each layer
    theirs = AutoConfig.for_model(
        values.pop("model_type"), **{**values, "pad_token_id": None}
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(theirs)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("count", "published", "same"),
    [
        (1235814400, "1.24B", True),
        (1235814400, "1.23B", False),
        (134515008, "135M", True),
        (10, 11, False),
    ],
)
def test_rounding_is_as_published(count, published, same):
    assert agrees(count, published) is same
