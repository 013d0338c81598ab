"""adapter_config.json of the library `peft`: read and written."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_llm.adapters import Lora
from keras_llm.adapters.tensors import CONFIG
from keras_llm.errors import InputError
from keras_llm.files import read_json

# Keys of adapter_config.json that are read here, and those that say nothing
# of what the adapter computes. Any other must be empty.
READ = (
    *("peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora"),
    *("use_dora", "rank_pattern", "alpha_pattern", "bias"),
    *("init_lora_weights", "task_type"),
)
HARMLESS = (
    *("auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "target_modules", "exclude_modules"),
    *("fan_in_fan_out", "layers_to_transform", "layers_pattern"),
    *("megatron_core", "qalora_group_size", "runtime_config"),
    "ensure_weight_tying",
)
STARTS = (True, False, "gaussian", "orthogonal", "eva")  # leave the base alone


def config_of(
    lora: Lora,
    ranks: Mapping[str, int],
    every: list[str],
) -> dict[str, Any]:
    """Returns what adapter_config.json says.

    Args:
        lora: The adapter's settings.
        ranks: Their matrix -> its rank, which may be another one.
        every: All matrices of theirs that could have an adapter.

    Example:

    >>> config_of(Lora(), {"layers.0.q": 8}, ["layers.0.q"])["target_modules"]
    ['q']
    """
    root = (lambda r: r**0.5) if lora.rank_stabilized else (lambda r: r)
    other = {name: rank for name, rank in ranks.items() if rank != lora.rank}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": shortest(ranks, every, "."),
        "use_rslora": lora.rank_stabilized,
        "use_dora": lora.dora,
        "rank_pattern": {re.escape(name): rank for name, rank in other.items()},
        "alpha_pattern": {
            re.escape(name): lora.scale * root(rank)
            for name, rank in other.items()
        },
        "bias": "none",
        "inference_mode": True,
    }


def read_config(folder: Path) -> dict[str, Any]:
    """Returns what adapter_config.json says, if it is understood.

    Raises:
        InputError: There is none, it is of another kind of adapter, or it
            says what is not read here.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / CONFIG).write_text('{"peft_type": "LORA", "r": 2}')
    >>> read_config(folder)["r"]
    2
    """
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"Expected a folder with {CONFIG}, as peft writes it. Received: "
            f"{folder} without."
        )
    config = read_json(folder / CONFIG)
    if config.get("peft_type") != "LORA" or "r" not in config:
        raise InputError(
            f"Expected an adapter of peft_type LORA in {folder}. Received: "
            f"{config.get('peft_type')!r}. Adapters of keras_llm's own format "
            "are loaded with adapters.load_adapter."
        )
    empty = (None, False, "", "none", {}, [])
    odd = {
        key: value
        for key, value in config.items()
        if key not in (*READ, *HARMLESS) and value not in empty
    }
    if config.get("bias", "none") != "none":
        odd["bias"] = config["bias"]
    if config.get("init_lora_weights", True) not in STARTS:
        odd["init_lora_weights"] = config["init_lora_weights"]
    if odd:
        raise InputError(
            f"Expected a plain LoRA or DoRA in {folder / CONFIG}. Received: "
            f"{odd}, which is not read here. Merge the adapter with peft and "
            "load the whole model."
        )
    return config


def rank_of(config: Mapping[str, Any], name: str) -> int:
    """Returns the rank of one matrix.

    Example:

    >>> rank_of({"r": 8, "rank_pattern": {"q": 4}}, "layers.0.q")
    4
    """
    return _pattern(config.get("rank_pattern"), name, config["r"])


def scale_of(config: Mapping[str, Any], name: str, rank: int) -> float:
    """Returns the factor on one matrix' product.

    Example:

    >>> scale_of({"lora_alpha": 4, "alpha_pattern": {"q": 6}}, "layers.0.q", 2)
    3.0
    """
    given = config.get("lora_alpha", 8)
    alpha = _pattern(config.get("alpha_pattern"), name, given)
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def shortest(
    chosen: Iterable[str], every: Iterable[str], mark: str
) -> list[str]:
    """Returns the last parts of paths where these say the same, or the paths.

    Args:
        chosen: Paths.
        every: All that there are.
        mark: What stands between the parts of a path.

    Example:

    >>> shortest(["a/q", "b/q", "a/v"], ["a/q", "b/q", "a/v", "b/v"], "/")
    ['a/v', 'q']
    """
    chosen = set(chosen)
    others = {path.rpartition(mark)[2] for path in set(every) - chosen}
    ends = {path: path.rpartition(mark)[2] for path in chosen}
    return sorted({e if e not in others else p for p, e in ends.items()})


def _pattern(patterns: Mapping[str, Any] | None, name: str, other: Any) -> Any:
    """What the first pattern says that matches the end of a name."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return other
