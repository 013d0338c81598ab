"""The lm-evaluation-harness on the same task files, with the same model.

The model is a hash: its answers depend on every letter of a request, so that
a prompt that differs by a space shows in the numbers.
"""

import hashlib
import json
import warnings
from pathlib import Path

import pytest
import yaml

from keras_llm.evaluate import Likelihood

SPLITS = {
    "train": "training_split",
    "validation": "validation_split",
    "test": "test_split",
}
ANSWERS = (
    " 12",
    "#### 12. That is it.",
    "So it is (B).\n\nQuestion: next",
    " the grey cat sat on the mat",
    "12 #### 1,200",
    " PARIS ",
    "",
    "Person: Ada $$ location: Paris, none",
)


def chance(*texts: object) -> float:
    """A number between 0 and 1 that depends on all the texts."""
    digest = hashlib.sha256(repr(texts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def likelihood(context: str, continuation: str) -> tuple[float, bool]:
    total = -len(continuation) * (0.1 + chance(context, continuation))
    return total, chance(continuation, context) < 0.4


def rolling(text: str) -> float:
    return -len(text) * (0.5 + chance(text))


def answer(context: str, draw: int = 0) -> str:
    return ANSWERS[int(chance(context, draw) * len(ANSWERS))]


def chat(messages: list[dict[str, str]], begin: bool = True) -> str:
    turns = "".join(f"<{m['role']}>{m['content']}</>" for m in messages)
    return f"{turns}<assistant>" if begin else turns.removesuffix("</>")


class HashSubject:
    """The hash as a `Subject`; counts what it is asked."""

    name, fingerprint = "hash", "1"

    def __init__(self):
        self.asked = []

    def likelihoods(self, requests):
        self.asked += requests
        return [Likelihood(*likelihood(*request)) for request in requests]

    def rolling(self, texts):
        self.asked += texts
        return [rolling(text) for text in texts]

    def generate(self, prompts):
        self.asked += prompts
        # Where answers are drawn, there are five.
        return [answer(prompt.context, prompt.seed % 5) for prompt in prompts]

    def chat_prompt(self, messages):
        return chat(messages)


def write_task(folder: Path, rows: dict[str, list[dict]], **fields) -> Path:
    """Writes a task file and its rows; returns the task file."""
    files = {}
    for split, several in rows.items():
        files[split] = str(folder / f"{fields['task']}-{split}.jsonl")
        lines = [json.dumps(row) + "\n" for row in several]
        Path(files[split]).write_text("".join(lines), encoding="utf-8")
    fields = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        **{SPLITS[split]: split for split in rows},
        **fields,
    }
    path = folder / f"{fields['task']}.yaml"
    path.write_text(yaml.safe_dump(fields, allow_unicode=True))
    return path


def harness(
    monkeypatch, folder: Path, names: list[str], model=None, **options
) -> dict:
    """What the lm-evaluation-harness finds on the task files of a folder."""
    pytest.importorskip("lm_eval")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
        from lm_eval import simple_evaluate
        from lm_eval.api import task as harness_task
        from lm_eval.tasks import TaskManager

        def load_dataset(path, name=None, data_files=None, **rest):
            return {
                split: datasets.Dataset.from_list(
                    [json.loads(line) for line in open(file, encoding="utf-8")]
                )
                for split, file in data_files.items()
            }

        monkeypatch.setattr(harness_task.datasets, "load_dataset", load_dataset)
        monkeypatch.setenv("DISABLE_MULTIPROC", "1")
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        return simple_evaluate(
            model or _peer(),
            tasks=names,
            task_manager=manager,
            bootstrap_iters=200,
            **options,
        )


def _peer():
    from lm_eval.api.model import LM

    class Peer(LM):
        tokenizer_name = "hash"

        def __init__(self):
            super().__init__()
            self.drawn = {}

        def loglikelihood(self, requests):
            return [likelihood(*request.args) for request in requests]

        def loglikelihood_rolling(self, requests):
            return [rolling(request.args[0]) for request in requests]

        def generate_until(self, requests):
            return [self._answer(*request.args) for request in requests]

        def _answer(self, context, options):
            """Each draw of one prompt has its number, as our seeds have."""
            sampled = options.get("do_sample")
            draw = self.drawn.get(context, 0)
            self.drawn[context] = draw + 1
            return answer(context, draw if sampled else 0)

        def apply_chat_template(self, messages, add_generation_prompt=True):
            return chat(messages, add_generation_prompt)

        def chat_template(self, name=False):
            return "hash"

    return Peer()
