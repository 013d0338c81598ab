"""The lm-evaluation-harness's own tasks, over documents put into them."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest

from keras_llm.evaluate.harness import load_task
from keras_llm.evaluate.harness.fewshot import Sampler
from keras_llm.evaluate.harness.items import build_items
from keras_llm.evaluate.harness.prepare import prepared
from keras_llm.evaluate.subject import Prompt

needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm_eval is missing (extra lm-eval)",
)
PATHS = {
    "arc_easy": "arc/arc_easy.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "piqa": "piqa/piqa.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "wikitext": "wikitext/wikitext.yaml",
    "winogrande": "winogrande/default.yaml",
    "xquad_en": "xquad/xquad_en.yaml",
    "xquad_zh": "xquad/xquad_zh.yaml",
}


def peer_task(name: str, docs: list[dict], num_fewshot: int = 0) -> Any:
    """Returns a task of the harness over some documents.

    Args:
        name: Of the task.
        docs: Every split has them; with the columns of the hub.
        num_fewshot: Solved examples in front of each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
        import lm_eval.tasks
        from lm_eval.api.task import ConfigurableTask
        from lm_eval.tasks._yaml_loader import load_yaml

    class Offline(ConfigurableTask):
        def download(self, *_: Any, **__: Any) -> None:
            rows = datasets.Dataset.from_list(docs)
            splits = ("train", "validation", "test")
            self.dataset = datasets.DatasetDict(dict.fromkeys(splits, rows))

    file = Path(lm_eval.tasks.__path__[0]) / PATHS[name]
    # XQuAD's function needs a part of transformers that is no more.
    functions = not name.startswith("xquad")
    fields = load_yaml(file, resolve_func=functions, recursive=True)
    task = Offline(config=fields | {"num_fewshot": num_fewshot})
    task.set_fewshot_seed(1234)
    return task


def our_requests(name: str, docs: list[dict], shots: int = 0) -> list[tuple]:
    """Returns what our task asks, in the harness's form."""
    task = load_task(name)
    made = prepared(docs, task.process_docs, name)
    pool = made if shots else []
    sampler = Sampler(pool, shots, False, 1234, name)
    items = build_items(task, list(enumerate(made)), sampler)
    asked = [request for item in items for request in item.requests]
    return [
        (one.context, list(one.until)) if isinstance(one, Prompt)
        else (one,) if isinstance(one, str) else tuple(one)
        for one in asked
    ]  # fmt: skip


def peer_requests(name: str, docs: list[dict], shots: int = 0) -> list[tuple]:
    """Returns what the harness asks a model about documents."""
    task = peer_task(name, docs, shots)
    task.build_all_requests(limit=None)
    return [instance.arguments for instance in task.instances]


def peer_results(lm: Any, name: str, docs: list[dict]) -> dict[str, Any]:
    """Returns what the harness finds of a model on documents."""
    task = peer_task(name, docs)
    from lm_eval.evaluator import evaluate

    found = evaluate(lm, {name: task}, bootstrap_iters=0)
    return found["results"][name]
