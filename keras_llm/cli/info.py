"""info: what a preset, a saved model or a published folder is made of."""

import dataclasses
import difflib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from keras_llm.cli.app import verb
from keras_llm.cli.console import command, report
from keras_llm.cli.info_tuned import HEADS, optional_json, tuned_facts
from keras_llm.compare.model_source import LM
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import (
    count_parameters,
    flops_per_token,
    kv_cache_bytes,
    weight_bytes,
)
from keras_llm.estimate_memory import memory_per_device
from keras_llm.estimate_setup import Setup
from keras_llm.records import Record

PRECISIONS = ("float32", "bfloat16", "int8", "int4")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Precision -> the policy to train with, where there is one."""
SERVED = 4096  # tokens of the sequence in the table, or the whole context
THOUSAND = 1000
HUB = "https://huggingface.co/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """What `keras-llm info` was asked about.

    Args:
        title: First line of the page.
        config: The architecture.
        facts: What else is known, by name.
        next: A command worth running next, if there is one.
    """

    title: str
    config: DecoderConfig
    facts: dict[str, Any]
    next: str | None


@verb("keras-llm info gpt2", "keras-llm info runs/model")
def info(
    model: Annotated[
        str,
        typer.Argument(
            help="A preset of the zoo, what `keras-llm train` wrote, or a "
            "folder with a config.json."
        ),
    ] = "runs/model",
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Length of the sequence served or trained on. Default: the "
            f"context, at most {SERVED}."
        ),
    ] = None,
) -> None:
    """Show what a model is made of and what memory it takes.

    Nothing is built or downloaded: the numbers follow from the config. GB
    are 10^9 bytes. Training is AdamW on one row. The cache is float32 beside
    float32 weights and else bfloat16; it holds every position, also in layers
    that see only a window.
    """
    found = describe(model)
    config = found.config
    length = min(config.context_length, SERVED) if tokens is None else tokens
    if length < 1:
        raise InputError(f"Expected --tokens of at least 1. Received: {tokens}")
    report(found.title, found.facts | parameter_facts(config, length))
    console = Console()
    console.print(memory_table(config, length))
    then = [] if found.next is None else [found.next]
    report("Architecture", architecture_facts(config), *then)


def describe(name: str) -> Described:
    """Finds what a name means: a folder or a config file, or else a preset.

    Raises:
        InputError: It is neither, with names that are near.
    """
    path = Path(name)
    for folder in (path / LM, path, *(path / name for name in HEADS)):
        if (folder / "decoder.json").is_file():
            return _saved(path, folder)
    if (path / "config.json").is_file():
        return _published(path)
    if path.is_dir():
        raise InputError(
            f"Expected a model folder at {path}: one that CausalLM.save or "
            "`keras-llm train` wrote to the end, or one with a config.json. "
            "Received: a folder without these."
        )
    if path.is_file():
        return Described(
            title=f"Config {path}",
            config=DecoderConfig.load(path),
            facts={},
            next=command("estimate", path),
        )
    return _preset(name)


def _preset(name: str) -> Described:
    """A preset by its name, or by its repository on the hub."""
    from keras_llm import zoo

    names = {(zoo.find_size(n).repo or n).lower(): n for n in zoo.list()}
    names |= {n: n for n in zoo.list()}
    if name.lower() not in names:
        near = difflib.get_close_matches(name.lower(), names, n=5)
        some = " or ".join(near or zoo.list())
        raise InputError(
            f"Expected a model folder or a preset. Received: {name!r}, which "
            f"is neither. Did you mean {some}?"
        )
    name = names[name.lower()]
    size = zoo.find_size(name)
    family = [f.name for f in zoo.families() if name in f.presets]
    facts = {
        "family": family[0] if family else None,
        "source": HUB + size.repo if size.repo else "our own, no weights",
        "licence": size.license,
        "chat template": size.chat,
    }
    return Described(
        title=f"Preset {name}",
        config=size.config,
        facts={name: value for name, value in facts.items() if value},
        next=command("import", size.repo)
        if size.repo
        else command("train", "--size", name),
    )


def _saved(path: Path, folder: Path) -> Described:
    speaks = (folder / "generation.json").is_file()
    return Described(
        title=f"Model {path}",
        config=DecoderConfig.load(folder / "decoder.json"),
        facts=_tokenizer_facts(folder) | tuned_facts(path, folder),
        next=command("generate", "The ", "--model", path) if speaks else None,
    )


def _tokenizer_facts(folder: Path) -> dict[str, Any]:
    """What the files say, without starting an engine."""
    manifest = optional_json(folder / "keras_llm.json")
    facts = {"tokenizer": str(manifest.get("tokenizer", ""))[:16]}
    added = optional_json(folder / "tokenizer.json").get("added_tokens") or []
    special = [token["content"] for token in added if token.get("special")]
    if special:
        facts["special tokens"] = " ".join(special)
    return facts


def _published(path: Path) -> Described:
    from keras_llm import zoo

    family, config = zoo.read_config(path)
    return Described(
        title=f"Folder {path}",
        config=config,
        facts={"family": family.name},
        next=command("import", path),
    )


def parameter_facts(config: DecoderConfig, length: int) -> dict[str, Any]:
    """Says how many parameters there are, where, and what they cost."""
    parts = count_parameters(config)
    inner = parts.blocks + parts.final_norm
    outer = parts.total - inner
    facts: dict[str, Any] = {"parameters": f"{parts.total:,}"}
    if parts.idle:
        facts["active for a token"] = f"{parts.active:,}"
    facts["in blocks"] = f"{inner:,}"
    facts["in tables and head"] = f"{outer:,}"
    flops = flops_per_token(config, length)
    facts[f"FLOPs a token, {length:,} in context"] = f"{flops:.2e}"
    rolling = kv_cache_bytes(config, length, rolling=True)
    if rolling < kv_cache_bytes(config, length):
        facts["cache if windows rolled"] = size_text(rolling)
    return facts


def memory_table(config: DecoderConfig, length: int) -> Table:
    """Memory at each precision: to load, to serve, to train, and the cache."""
    table = Table(title="Memory", title_justify="left")
    table.add_column("precision", style="cyan")
    for name in (
        "to load",
        f"cache per {THOUSAND:,} tokens",
        f"to serve {length:,} tokens",
        f"to train on {length:,} tokens",
    ):
        table.add_column(name, justify="right")
    for precision in PRECISIONS:
        cache = "float32" if precision == "float32" else "bfloat16"
        weights = weight_bytes(config, precision)
        policy = POLICIES.get(precision)
        sizes = (
            weights,
            kv_cache_bytes(config, THOUSAND, cache),
            weights + kv_cache_bytes(config, length, cache),
            _to_train(config, length, policy) if policy else None,
        )
        table.add_row(precision, *map(size_text, sizes))
    return table


def _to_train(config: DecoderConfig, length: int, policy: str) -> int:
    setup = Setup(batch_size=1, context=length, precision=policy)
    return memory_per_device(config, setup).total


def architecture_facts(config: DecoderConfig) -> dict[str, Any]:
    """The config's fields; of a record within, what is not as usual."""
    facts = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Record):
            value = _unusual(value)
        if value is not None:
            facts[field.name] = value
    return facts


def _unusual(record: Any) -> str:
    """Returns a record's first field and those that have no usual value."""
    fields = dataclasses.fields(record)
    shown = []
    for field in fields:
        value = getattr(record, field.name)
        if field is fields[0] or value != field.default:
            long = isinstance(value, tuple)
            text = f"({len(value)} values)" if long else str(value)
            shown.append(f"{field.name}={text}")
    return ", ".join(shown)


def size_text(size: int | None) -> str:
    """Returns bytes as a person reads them; None as a dash.

    Example:

    >>> size_text(1_500_000_000), size_text(250_000), size_text(None)
    ('1.50 GB', '0.25 MB', '-')
    """
    if size is None:
        return "-"
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB")
    return f"{size / unit:,.2f} {name}"
