"""Figures of the book's repository that a config alone decides, beside ours.

Used by `book.py` and by its test. Each figure is written as the repository
prints it, so that equal figures are equal texts.

Source: Raschka 2024, https://github.com/rasbt/LLMs-from-scratch, at commit
28c65cd; figures only.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

from keras_llm import zoo
from keras_llm.config import DecoderConfig, Experts
from keras_llm.estimate import count_parameters, kv_cache_bytes
from keras_llm.estimate_flops import flops
from keras_llm.shapes import parameter_shapes
from keras_llm.visualize import cache_sizes

SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
CH4 = "ch04/01_main-chapter-code/exercise-solutions.ipynb"
FLOPS = "ch04/02_performance-analysis/flops-analysis.ipynb"
A100 = 77.97e12  # FLOPS in bfloat16, as the repository has it


class Row(NamedTuple):
    """One figure: what it is, where the book has it, theirs and ours."""

    what: str
    file: str
    book: str
    ours: str


# === Parameters ===


def parameters(config: DecoderConfig, bias: bool = True) -> int:
    """All parameters; without `bias`, queries, keys and values have none."""
    total = count_parameters(config).total
    width = config.num_heads + 2 * config.num_kv_heads
    return total - (0 if bias else config.num_layers * width * config.head_dim)


def sizes() -> Iterator[Row]:
    """GPT-2 as the book builds it, with no bias on queries, keys, values."""
    printed = (
        ("163,009,536", "124,412,160", "621.83 MB"),
        ("406,212,608", "354,749,440", "1549.58 MB"),
        ("838,220,800", "773,891,840", "3197.56 MB"),
        ("1,637,792,000", "1,557,380,800", "6247.68 MB"),
    )
    for name, (whole, tied, memory) in zip(SIZES, printed, strict=True):
        config = zoo.config(name)
        two = parameters(config.replace(tie_embeddings=False), bias=False)
        one = parameters(config, bias=False)
        size = f"{4 * two / 2**20:.2f} MB"
        yield Row(f"{name}, two tables", CH4, whole, f"{two:,}")
        yield Row(f"{name}, tied", CH4, tied, f"{one:,}")
        yield Row(f"{name}, two tables in float32", CH4, memory, size)
    mlp, attention = (
        _inside(zoo.config("gpt2"), part) for part in ("mlp", "attention")
    )
    yield Row("gpt2, MLP of a block", CH4, "4,722,432", f"{mlp:,}")
    what = "gpt2, attention of a block"
    yield Row(what, CH4, "2,360,064", f"{attention - 3 * 768:,}")


def families() -> Iterator[Row]:
    """What else the repository builds: all parameters, and without a copy."""
    llama2 = "ch05/07_gpt_to_llama/converting-gpt-to-llama2.ipynb"
    llama3 = "ch05/07_gpt_to_llama/converting-llama2-to-llama3.ipynb"
    qwen3 = "ch05/11_qwen3/standalone-qwen3"
    gemma3 = "ch05/12_gemma3/standalone-gemma3.ipynb"
    for name, file, whole, tied in (
        ("llama-2-7b", llama2, "6,738,415,616", None),
        ("llama-3-8b", llama3, "8,030,261,248", None),
        ("llama-3.2-1b", llama3, "1,498,482,688", "1,235,814,400"),
        ("qwen3-0.6b", f"{qwen3}.ipynb", "751,632,384", "596,049,920"),
        ("qwen3-30b-a3b", f"{qwen3}-moe.ipynb", "30,532,122,624", None),
        ("gemma-3-270m", gemma3, "435,870,336", "268,098,176"),
    ):
        config = zoo.config(name)
        two = parameters(config.replace(tie_embeddings=False))
        yield Row(f"{name}, two tables", file, whole, f"{two:,}")
        if tied:
            yield Row(f"{name}, tied", file, tied, f"{parameters(config):,}")


# === Work and memory ===


def work() -> Iterator[Row]:
    """FLOPs as the book's counter has them: of linear layers alone."""
    printed = (
        ("5.1e+11", 62568.34, "0.5948"),
        ("1.4e+12", 22536.25, "0.6130"),
        ("3.2e+12", 12465.21, "0.7406"),
        ("6.4e+12", 6779.92, "0.8113"),
    )
    for name, (forward, speed, used) in zip(SIZES, printed, strict=True):
        one = dataclasses.replace(flops(zoo.config(name)), attention=0)
        what = f"{name}, forward, 2 x 1,024 tokens"
        yield Row(what, FLOPS, forward, f"{2048 * one.forward:.1e}")
        what = f"{name}, MFU at {speed:,.0f} tokens/s"
        ours = f"{speed * one.training() / A100:.4f}"
        yield Row(what, FLOPS, used, ours)


def caches() -> Iterator[Row]:
    """Key-value caches, in GB of 10^9 bytes, with bfloat16."""
    folder = "ch04/{}/memory_estimator_{}.py".format
    whole = DecoderConfig(
        vocabulary_size=1,
        context_length=32768,
        num_layers=32,
        hidden_dim=4096,
        num_heads=32,
    )
    groups = whole.replace(num_kv_heads=8)
    local = {"pattern": "LLLLLG", "window": 1024}
    gqa, swa = folder("04_gqa", "gqa"), folder("06_swa", "swa")
    for what, file, book, config in (
        ("32 x 4,096, 32,768 tokens, MHA", gqa, "17.18 GB", whole),
        ("the same, GQA, 8 of 32 heads", gqa, "4.29 GB", groups),
        ("MHA, 27 of 32 layers see 1,024", swa, "3.14 GB", whole),
        ("GQA, 27 of 32 layers see 1,024", swa, "0.78 GB", groups),
    ):
        config = config.replace(**local) if file == swa else config
        size = kv_cache_bytes(config, 32768, rolling=True)
        yield Row(what, file, book, f"{size / 1e9:.2f} GB")
    yield from _latent(folder("05_mla", "mla"))


def _latent(file: str) -> Iterator[Row]:
    # The estimator rounds 2048 / 24 channels of a head up to 86.
    config = DecoderConfig(
        vocabulary_size=1,
        context_length=8192,
        num_layers=48,
        hidden_dim=2048,
        num_heads=24,
        num_kv_heads=6,
        head_dim=86,
    )
    found = cache_sizes(config, [8192], latent=1024)
    for kind, book in (
        ("MHA, 24 heads", "3.25 GB"),
        ("GQA, 6 of 24", "0.81 GB"),
        ("MLA, latent of 1024", "0.81 GB"),
    ):
        size = f"{found[kind][0] / 1e9:.2f} GB"
        yield Row(f"48 x 2,048, 8,192 tokens, {kind}", file, book, size)


def experts() -> Iterator[Row]:
    """One layer of width 7,168: a dense MLP, and 8 experts as large."""
    file = "ch04/07_moe/memory_estimator_moe.py"
    dense = DecoderConfig(
        vocabulary_size=1,
        context_length=1,
        num_layers=1,
        hidden_dim=7168,
        num_heads=56,
        mlp_dim=14336,
    )
    sparse = dense.replace(experts=Experts(count=8, top_k=2, mlp_dim=1792))
    mlp, routed = (_inside(dense, "mlp"), _inside(sparse, "experts"))
    active = routed - count_parameters(sparse).idle
    yield Row("dense MLP, 7,168 to 14,336", file, "308,281,344", f"{mlp:,}")
    yield Row("8 experts of 1,792", file, "308,338,688", f"{routed:,}")
    yield Row("active for a token, 2 of 8", file, "77,127,680", f"{active:,}")


def _inside(config: DecoderConfig, part: str) -> int:
    """Parameters of one part of the first block."""
    return sum(
        math.prod(shape)
        for path, shape in parameter_shapes(config).items()
        if path.startswith(f"block_0/{part}/")
    )


# === Adapters ===


def adapters() -> Iterator[Row]:
    """LoRA of rank 16 on each linear layer of a spam filter."""
    file = "appendix-E/01_main-chapter-code/appendix-E.ipynb"
    config = zoo.config("gpt2")
    head = (config.hidden_dim, 2)
    whole = f"{parameters(config) + math.prod(head) + 2:,}"
    lora = lora_parameters(config, 16) + 16 * sum(head)
    yield Row("gpt2 with two labels", file, "124,441,346", whole)
    yield Row("its LoRA of rank 16", file, "2,666,528", f"{lora:,}")


def lora_parameters(config: DecoderConfig, rank: int) -> int:
    """Parameters of an adapter on each linear layer of all blocks."""
    return rank * sum(
        sum(shape)
        for path, shape in parameter_shapes(config).items()
        if path.startswith("block_") and path.endswith("kernel")
    )
