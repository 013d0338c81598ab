"""What `keras-llm info` says of a tuned model: from what, for what, how."""

from collections import Counter
from pathlib import Path
from typing import Any

from keras_llm.files import read_json

HEADS = ("classifier", "reward")
"""Folders of a run with a decoder under another head."""


def tuned_facts(path: Path, folder: Path) -> dict[str, Any]:
    """Returns what the files of a run and of its model say, by name.

    Nothing is loaded; of a model that was not tuned there is nothing to say.

    Args:
        path: The run's folder, or the model's.
        folder: The model's folder.
    """
    run = path if (path / "tuning.json").is_file() else folder.parent
    facts = _of_run(run) | _of_adapters(folder) | _of_head(folder)
    return {name: value for name, value in facts.items() if value}


def optional_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file, nothing where there is none."""
    return read_json(path) if path.is_file() else {}


def _of_run(run: Path) -> dict[str, Any]:
    recipe = optional_json(run / "finetune.json")
    report = optional_json(run / "tuning_report.json")
    facts = {
        "tuned for": optional_json(run / "tuning.json").get("kind"),
        "tuned from": recipe.get("options", {}).get("model"),
    }
    for name, value in report.get("after", {}).items():
        before = report["before"].get(name)
        was = "" if before is None else f"{before:,.4g} -> "
        facts[f"measured {name}"] = f"{was}{value:,.4g}"
    return facts


def _of_adapters(folder: Path) -> dict[str, Any]:
    """Adapters and integers of a CausalLM's folder, or a classifier's."""
    manifest = optional_json(folder / "keras_llm.json")
    state = optional_json(folder / "adapters.json")
    facts: dict[str, Any] = {"base": manifest.get("origin", {}).get("repo")}
    if not state:
        held = optional_json(folder / "keras_llm_classifier.json")
        state = held.get("adapters", {})
        facts["tokenizer"] = held.get("tokenizer", "")[:16]
    for name, one in state.get("adapters", {}).items():
        lora, rests = one["lora"], name != state.get("active")
        kind = "DoRA" if lora["dora"] else "LoRA"
        text = f"{kind} of rank {lora['rank']} on {len(one['layers'])} layers"
        merged = ", merged" * bool(state.get("merged") and not rests)
        facts[f"adapter {name}"] = text + ", rests" * rests + merged
    bits = Counter(bits for bits, _ in state.get("integers", {}).values())
    facts["integers"] = ", ".join(
        f"{count} layers of {width} bits" for width, count in bits.items()
    )
    return facts


def _of_head(folder: Path) -> dict[str, Any]:
    head = optional_json(folder / "classifier.json")
    labels = ", ".join(map(str, head.get("labels", [])))
    facts = {"labels": labels, "pooling": head.get("pooling")}
    for name in ("temperature", "threshold"):
        value = head.get(name)
        single = isinstance(value, float)
        facts[name] = f"{value:.4g}" if single else str(value or "")
    return facts
