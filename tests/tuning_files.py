"""A folder with a tiny model and data of every kind for `finetune`."""

import json
from pathlib import Path

import pytest
import yaml
from test_cli_model import must
from tiny_tuning import language_model

from keras_llm.classify import Classifier, Tagger
from keras_llm.cli import (
    finetune,
    finetune_answers,
    finetune_grpo,
    finetune_labels,
)
from keras_llm.tune import RewardModel

MODULES = (finetune, finetune_answers, finetune_grpo, finetune_labels)
LORA = {"lora": 2, "lora_targets": ["query", "mlp/up"]}
FLAVOURS = {
    "text": {"data": ["notes.txt"], "replay": "general.jsonl", **LORA},
    "chat": {
        "data": "chats.jsonl",
        "template": "keras_llm",
        "train": "last_1",
        "neftune": 5,
        "samples": 3,
    },
    "classify": {
        "data": "sms.tsv",
        "pooling": "mean",
        "class-weights": "ham=1,spam=2",
        "calibrate": True,
        "bits": 8,
        **LORA,
    },
    "tokens": {"data": "towns.conll", "echo": True},
    "prefer": {"data": "pairs.jsonl", "loss": "dpo", "merge": True, **LORA},
    "reward": {"data": "pairs.jsonl"},
    "grpo": {
        "data": "sums.jsonl",
        "reward": "checks:short",
        "group": 2,
        "batch_size": 4,
        "max_new_tokens": 3,
    },
}
MODELS = {
    "classify": ("classifier", Classifier),
    "tokens": ("classifier", Tagger),
    "reward": ("reward", RewardModel),
}


def write_lines(name: str, records: list[dict]) -> None:
    Path(name).write_text("".join(json.dumps(r) + "\n" for r in records))


def fill(folder: Path) -> Path:
    """Puts a model and data of every kind into a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        language_model(num_layers=1).save("model")
        numbers = range(20)
        Path("notes.txt").write_text("a rose is red\n" * 60)
        write_lines(
            "general.jsonl", [{"text": f"so {n} " * 9} for n in range(20)]
        )
        write_lines(
            "chats.jsonl",
            [
                {"prompt": f"Say {n}", "completion": f"It is {n}"}
                for n in numbers
            ],
        )
        rows = [("ham", "see you"), ("spam", "win now")] * 10
        Path("sms.tsv").write_text(
            "".join(
                f"{label}\t{text} {n}\n" for n, (label, text) in enumerate(rows)
            )
        )
        Path("towns.conll").write_text(
            "".join(f"in O\nRome{n} B-town\n\n" for n in numbers)
        )
        write_lines(
            "pairs.jsonl",
            [
                {"prompt": f"Say {n}", "chosen": "yes", "rejected": "no"}
                for n in numbers
            ],
        )
        write_lines(
            "sums.jsonl", [{"prompt": f"{n}+1=", "answer": n} for n in numbers]
        )
        Path("checks.py").write_text(
            "def short(prompt, answer, record):\n    return -len(answer)\n"
        )
        for name, options in FLAVOURS.items():
            Path(f"{name}.yaml").write_text(yaml.safe_dump(options))
    return folder


def tuned(name: str, *words: object) -> str:
    """Runs a flavour from its YAML file for two steps."""
    return must(
        *("finetune", name, "model", "--config", f"{name}.yaml"),
        *("--steps", 2, "--output", f"runs/{name}"),
        *words,
    )


def given(monkeypatch, *words: object):
    """Returns the options that a command line comes to."""
    taken = []

    def take(flavour, options, *_, **__):
        taken.append(options)

    for module in MODULES:
        monkeypatch.setattr(module, "run", take)
    must("finetune", *words)
    return taken[0]
