"""What benchmarks found, in the lm-evaluation-harness's format."""

import dataclasses
import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from keras_llm.errors import InputError
from keras_llm.evaluate.finding import Block, Measure, Table, Words
from keras_llm.evaluate.grouping import EvaluatedItem
from keras_llm.evaluate.harness.examples import evaluated_items, shown_items
from keras_llm.evaluate.harness.outcome import NO_ERROR
from keras_llm.files import holds_only, new_folder, read_json

_RESULTS = "results.json"
_SAMPLES = "samples_"


@dataclasses.dataclass(frozen=True)
class BenchmarkReport:
    """The numbers of benchmarks, and what each document gave; a `Finding`.

    Attributes:
        info: `results`, `groups`, `group_subtasks`, `configs`, `versions`,
            `n-shot`, `n-samples`, `higher_is_better`, `config`, `git_hash`,
            `date`, `environment`.
        samples: By task, a dictionary for each filter and document.
        title: The heading of its section.

    Example:

    >>> report = BenchmarkReport({"results": {"copa": {"acc,none": 0.5,
    ...     "acc_stderr,none": 0.1, "sample_len": 9}},
    ...     "higher_is_better": {"copa": {"acc": True}}}, {})
    >>> report.measures()["copa/acc"]
    Measure(value=0.5, error=0.1, count=9, higher_is_better=True)
    """

    info: dict[str, Any]
    samples: dict[str, list[dict[str, Any]]]
    title: str = "Benchmarks"

    def measures(self) -> Mapping[str, Measure]:
        """Returns the numbers by `task/metric`, or `task/metric,filter`.

        A group's numbers are called like a task's.
        """
        return {
            _measure_name(name, key): measure
            for name, key, measure in self._measured()
        }

    def blocks(self) -> Sequence[Block]:
        """Returns a table of all numbers, and the worst and best documents."""
        rows = [
            {
                "task": self.info["results"][name]["alias"],
                "version": str(self.info["versions"].get(name, "")),
                "shots": self.info["n-shot"].get(name, ""),
                "documents": measure.count,
                "metric": key.removesuffix(",none"),
                "value": measure,
            }
            for name, key, measure in self._measured()
        ]
        config = self.info["config"]
        words = f"Model: {config['model']}. Seed {config['fewshot_seed']}."
        if config["limit"] is not None:
            words += f" Only a part of each task: limit {config['limit']:g}."
        if config["apply_chat_template"]:
            words += " Prompts are written by the model's chat template."
        caption = "Value ± standard error."
        return [Words(words), Table(rows, caption), *self._shown()]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything but the documents, for JSON."""
        return self.info

    def values(self, name: str) -> np.ndarray:
        """Returns what a metric gave each document, float64 `(documents,)`.

        The same tasks and limit give the same documents in the same order,
        whatever the model, so that two models can be compared by pairs. For
        perplexities and bits per byte it is nats per word or byte, or bits.

        Args:
            name: One of `measures()` that is a task's.

        Raises:
            InputError: There is no such measure, or it is not computed
                document by document (F1, MCC, BLEU, ...).

        Example:

        >>> sample = {"filter": "none", "acc": 1.0, "golds": [" blue"],
        ...     "choices": [], "resps": [[[-0.5, True]]], "arguments":
        ...     {"gen_args_0": {"arg_0": "The sky is", "arg_1": " blue"}}}
        >>> BenchmarkReport({}, {"sky": [sample]}).values("sky/acc").tolist()
        [1.0]
        """
        return np.array([item.value for item in self.items(name)])

    def items(self, name: str) -> list[EvaluatedItem]:
        """Returns the documents for an error analysis (`find_mistakes`).

        Args and errors as for `values`.
        """
        task, _, key = name.partition("/")
        metric, _, chain = key.partition(",")
        there = [
            sample
            for sample in self.samples.get(task, [])
            if sample["filter"] == (chain or "none") and metric in sample
        ]
        if not there:
            near = difflib.get_close_matches(name, self.measures(), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(
                "Expected the name of a task's measure, such as copa/acc. "
                f"Received: {name!r}, of which there are no documents.{hint}"
            )
        return evaluated_items(task, metric, there)

    def item_measures(self) -> dict[str, str]:
        """Returns by task the first measure that each document has a value of.

        A task whose measures need all documents (F1, MCC, BLEU) is left out.

        Example:

        >>> sample = {"filter": "none", "metrics": ["acc"], "acc": 1.0}
        >>> BenchmarkReport({}, {"sky": [sample]}).item_measures()
        {'sky': 'sky/acc'}
        """
        found = {}
        for task, (first, *_) in self.samples.items():
            for metric in first["metrics"]:
                if isinstance(first[metric], float):
                    key = f"{metric},{first['filter']}"
                    found.setdefault(task, _measure_name(task, key))
        return found

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `results.json` and `samples_TASK.jsonl`, all or nothing.

        Args:
            folder: A new or empty one, or an earlier report's.

        Raises:
            InputError: The folder holds other files.
            OSError: The disk is full or the folder is not writable.
        """
        names = {_RESULTS, *(_sample_file(task) for task in self.samples)}
        with new_folder(folder, _is_report(names)) as new:
            text = json.dumps(self.info, indent=2, ensure_ascii=False)
            (new / _RESULTS).write_text(text + "\n", encoding="utf-8")
            for task, samples in self.samples.items():
                with open(new / _sample_file(task), "w", encoding="utf-8") as f:
                    for sample in samples:
                        f.write(json.dumps(sample, default=str) + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "BenchmarkReport":
        """Reads what `save` wrote.

        Raises:
            InputError: A file is missing or damaged.
        """
        folder = Path(folder)
        if not (folder / _RESULTS).is_file():
            raise InputError(
                f"Expected a saved report with {_RESULTS} in {folder}. "
                "Received: none there."
            )
        info = read_json(folder / _RESULTS)
        tasks = [n for n in info["results"] if n not in info["group_subtasks"]]
        samples = {task: _read_samples(folder, task) for task in tasks}
        return cls(info, samples)

    def _measured(self) -> Iterator[tuple[str, str, Measure]]:
        for name, numbers in self.info["results"].items():
            better = self.info["higher_is_better"].get(name, {})
            for key, value in numbers.items():
                metric, comma, chain = key.partition(",")
                if not comma or metric.endswith("_stderr"):
                    continue
                error = numbers[f"{metric}_stderr,{chain}"]
                yield (
                    name,
                    key,
                    Measure(
                        value,
                        None if error == NO_ERROR else error,
                        numbers["sample_len"],
                        better.get(metric),
                    ),
                )

    def _shown(self) -> Iterator[Block]:
        measures = self.measures()
        for task, name in self.item_measures().items():
            metric = name.partition("/")[2].partition(",")[0]
            better = measures[name].higher_is_better
            yield from shown_items(task, metric, self.items(name), better)


def _measure_name(task: str, key: str) -> str:
    return f"{task}/{key.removesuffix(',none')}"


def _sample_file(task: str) -> str:
    return f"{_SAMPLES}{quote(task, safe='')}.jsonl"


def _is_report(names: set[str]):
    """A test of a folder: is it an earlier report, of these tasks or others?"""
    mine = holds_only(names)

    def test(folder: Path) -> bool:
        found = {file.name for file in folder.iterdir()}
        samples = {name for name in found if name.startswith(_SAMPLES)}
        return mine(folder) or found - samples == {_RESULTS}

    return test


def _read_samples(folder: Path, task: str) -> list[dict[str, Any]]:
    path = folder / _sample_file(task)
    if not path.is_file():
        raise InputError(
            f"Expected the documents of {task} at {path}. Received: no such "
            "file. Copy the whole folder of the report."
        )
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
