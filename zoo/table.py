"""The zoo as a page: `python -m keras_llm.zoo.table` prints docs/zoo.md.

Every number follows from the configs, so that the page is never older than
the code; a test compares them.
"""

from collections.abc import Iterator

from keras_llm.estimate import count_parameters, kv_cache_bytes, weight_bytes
from keras_llm.zoo.family import Size
from keras_llm.zoo.registry import families, find_size
from keras_llm.zoo.registry import list as list_presets

HUB = "https://huggingface.co/"
OWN = "our own"
HEAD = """# The zoo

Published models, by name. `info` needs no download; `import` brings weights,
tokenizer and chat template from the Hugging Face hub, once, under the licence
that stands there:

```shell
pip install ".[hub,text]"
keras-llm info smollm2-135m
keras-llm import smollm2-135m --output runs/smollm2
keras-llm generate "The sky is" --model runs/smollm2
keras-llm import HuggingFaceTB/SmolLM2-135M-Instruct --output runs/instruct
keras-llm chat runs/instruct
```

- A preset continues texts, mostly. To chat, import one that was tuned for it: a
  name on the hub, as in the last two lines, or [tune it](finetune.md).
- A gated model (Llama, Gemma) wants that you accept its terms on its page, and
  `HF_TOKEN` in the environment: `HF_TOKEN=hf_... keras-llm import gemma-3-1b`.
- Without a network, name a folder in Hugging Face's form (`config.json`,
  safetensors, tokenizer files): `keras-llm import downloads/my-model`. Nothing
  is downloaded then.

In Python `zoo.list()` names the presets, `zoo.config(PRESET)` gives the
architecture of one, for training from scratch, and `zoo.load(PRESET)` a
`CausalLM`.

## Every preset, with what it takes

Parameters count a tied head once; active ones are those that a token of a
mixture of experts goes through, tables included. Memory is in GB of 10^9
bytes: the weights in bfloat16, and the key-value cache of 1,000 tokens in
bfloat16. The cache holds every position in every layer, also where a layer
sees only a window.

This page is written by `python -m keras_llm.zoo.table > docs/zoo.md`.
"""
COLUMNS = (
    *("preset", "family", "parameters", "active", "layers", "width"),
    *("heads", "context", "weights", "cache per 1,000", "licence", "source"),
)


def page() -> str:
    """Returns docs/zoo.md.

    Example:

    >>> "| gpt2 | gpt2 | 124,439,808 |" in page()
    True
    """
    lines = [line(COLUMNS), line("---" for _ in COLUMNS)]
    lines += [line(row(name)) for name in list_presets()]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def row(name: str) -> Iterator[str]:
    """Yields a preset's cells.

    Example:

    >>> list(row("gpt2"))[4:8]
    ['12', '768', '12 / 12', '1,024']
    """
    size: Size = find_size(name)
    config, parts = size.config, count_parameters(size.config)
    named = [f.name for f in families() if name in f.presets]
    yield name
    yield named[0] if named else OWN
    yield f"{parts.total:,}"
    yield f"{parts.active:,}" if parts.idle else ""
    yield str(config.num_layers)
    yield f"{config.hidden_dim:,}"
    yield f"{config.num_heads} / {config.num_kv_heads}"
    yield f"{config.context_length:,}"
    yield _gigabytes(weight_bytes(config, "bfloat16"))
    yield _gigabytes(kv_cache_bytes(config, 1000))
    yield size.license or ""
    yield f"[{size.repo}]({HUB}{size.repo})" if size.repo else ""


def line(cells: Iterator[str] | tuple[str, ...]) -> str:
    """Returns cells as a line of a Markdown table.

    Example:

    >>> line(("a", "b"))
    '| a | b |'
    """
    return "| " + " | ".join(cells) + " |"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.3f}"


if __name__ == "__main__":
    print(page(), end="")
