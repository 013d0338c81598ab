"""Runs EleutherAI's lm-evaluation-harness on a model of ours.

    pip install "keras_llm[lm-eval]"
    python 10_lm_eval.py --model runs/mine/model --tasks hellaswag,arc_easy

Any of the harness's tasks, whose data it downloads from the Hugging Face hub.
Without --tasks it runs one that is written here, on WikiText-2: so a task of
yours may look. Out come the harness's own table, and OUT, its numbers.
"""

import argparse
import json
import os
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.utils import make_table

import keras_llm as kl

TINY = bool(os.environ.get("KERAS_LLM_TINY"))  # for a test: a few texts


def wikitext(folder: Path) -> dict:
    """A task: how likely is each article, in bits per byte."""
    text = (kl.data.download("wikitext2") / "valid.txt").read_text("utf-8")
    articles = text.split("\n = ")[1 : 3 if TINY else 21]
    path = folder / "wikitext.jsonl"
    lines = [json.dumps({"page": "= " + one}) + "\n" for one in articles]
    path.write_text("".join(lines), "utf-8")
    return {
        "task": "wikitext_2_valid",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{page}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    }


def main() -> None:
    """Asks the harness, shows its table and keeps it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="runs/mine/model")
    parser.add_argument("--tasks")
    parser.add_argument("--out", type=Path, default=Path("runs/lm_eval.json"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    names = given.tasks.split(",") if given.tasks else None
    model = kl.evaluate.lm_eval_model(kl.zoo.load(given.model))
    tasks = names or [wikitext(given.out.parent)]
    found = simple_evaluate(model, tasks=tasks)
    print(make_table(found))
    given.out.write_text(json.dumps(found["results"], indent=2), "utf-8")


if __name__ == "__main__":
    main()
