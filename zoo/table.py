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

Every preset, with what it takes. `keras-llm info PRESET` says more about one;
`zoo.config(PRESET)` gives its config, and `zoo.load(PRESET)` its weights from
the Hugging Face hub, under the licence that stands there.

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
