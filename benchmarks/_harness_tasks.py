"""Task files and documents that both evaluators read, for `harness.py`."""

import json
from pathlib import Path
from typing import Any

import yaml

from keras_llm.evaluate import load_task
from keras_llm.evaluate.harness.documents import documents
from keras_llm.evaluate.harness.prepare import prepared

CHOICES = ("hellaswag", "arc_easy", "winogrande")
BITS = [{"metric": name} for name in ("word_perplexity", "bits_per_byte")]
# The library's wikitext counts the words of pages that it has rewritten,
# which the harness does by a function of its own; here both count the text.
CHANGES: dict[str, dict[str, Any]] = {
    "wikitext": {"metric_list": BITS},
    "gsm8k": {
        "num_fewshot": 0,
        "generation_kwargs": {"until": ["Question:"], "max_gen_toks": 64},
        "fewshot_split": None,
    },
}
DROPPED = (
    *("process_docs", "dataset_name", "metadata", "tag", "training_split"),
    *("should_decontaminate", "doc_to_decontamination_query", "unsafe_code"),
)


def write_tasks(folder: Path, data: Path, limits: dict[str, int]) -> list[Path]:
    """Writes some documents of each task, and task files that read them.

    Args:
        folder: Where they are written.
        data: ../shared/data.
        limits: How many documents of which task.

    Returns:
        The task files, by both evaluators' rules.
    """
    return [_write(folder, data, name, limit) for name, limit in limits.items()]


def _write(folder: Path, data: Path, name: str, limit: int) -> Path:
    task = load_task(name)
    split = task.test_split or task.validation_split
    docs = prepared(documents(task, split, data), task.process_docs, name)
    file = folder / f"{name}.jsonl"
    lines = [json.dumps(doc) + "\n" for doc in docs[:limit]]
    file.write_text("".join(lines), encoding="utf-8")
    fields = {
        key: value
        for key, value in task.to_dict().items()
        if value not in (None, (), [], {}) and key not in DROPPED
    }
    fields |= CHANGES.get(name, {})
    fields |= {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "validation_split": None,
        "test_split": "test",
    }
    used = {key: value for key, value in fields.items() if value is not None}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(used))))
    return path
