"""What a benchmark is: its data, its prompts, its answers, its metrics."""

import dataclasses
import functools
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate.harness.checked import Checked, fits
from keras_llm.evaluate.subject import Prompt

LIKELIHOOD, ROLLING, GENERATE, CHOICE = OUTPUT_TYPES = (
    "loglikelihood",
    "loglikelihood_rolling",
    "generate_until",
    "multiple_choice",
)
_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens")  # one thing
_GENERATION = {"until", "do_sample", "temperature", *_MOST_TOKENS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FewShot(Checked):
    """Where a task's solved examples come from, and how they look.

    What is not given is as in the task itself.

    Args:
        sampler: "default" draws anew for each document, "first_n" takes the
            first ones.
        split: The split they are taken from.
        samples: The examples themselves, in place of a split.
        process_docs: As in `Task`, for the split.
        doc_to_text: As in `Task`.
        doc_to_choice: As in `Task`.
        doc_to_target: As in `Task`.
        gen_prefix: As in `Task`.
        fewshot_delimiter: As in `Task`.
        target_delimiter: As in `Task`.

    Raises:
        InputError: A value is of the wrong type, or there is no such sampler.

    Example:

    >>> FewShot(sampler="first_n", split="dev").split
    'dev'
    """

    sampler: str = "default"
    split: str | None = None
    samples: list[dict] | None = None
    process_docs: str | None = None
    doc_to_text: str | int | None = None
    doc_to_choice: str | list | dict | None = None
    doc_to_target: str | int | list | None = None
    gen_prefix: str | None = None
    fewshot_delimiter: str = "\n\n"
    target_delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("sampler", ("default", "first_n"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Checked):
    r"""A benchmark, by the names of the lm-evaluation-harness's task files.

    A text field (`doc_to_text`, `doc_to_target`, `doc_to_choice`,
    `description`, `gen_prefix`) is the name of a column, or a Jinja template
    over the columns, for example `"Question: {{question}}\nAnswer:"`.

    Args:
        task: Its name in reports.
        task_alias: What tables call it. Default: the name.
        tag: Names under which it can be asked for together with others.
        dataset_path: The data set's name on the Hugging Face hub, or "json",
            "csv", "parquet", "text" for local files.
        dataset_name: Which part of the data set.
        dataset_kwargs: What the reader of the data gets, such as `data_files`.
        training_split: A split's name; solved examples come from it where
            there is no `fewshot_split`.
        validation_split: Evaluated where there is no test split.
        test_split: Evaluated.
        fewshot_split: Where solved examples come from.
        process_docs: A function's name in `harness.prepare.PREPARE`, applied
            to each document.
        doc_to_text: The question. A whole number (with `doc_to_choice`) says
            which of several contexts is right, as in WinoGrande.
        doc_to_target: The answer: a text, several texts, or the number of a
            choice.
        doc_to_choice: The choices: a column with a list, a list, or a
            template of a Python list.
        description: Stands before everything.
        target_delimiter: Between question and answer. Default: a space.
        fewshot_delimiter: After each solved example. Default: an empty line.
        fewshot_config: Fields of `FewShot` that differ from the task's.
        num_fewshot: Solved examples in front. None: 0, or what
            `evaluate_tasks` is asked for; 0 stays 0.
        output_type: "loglikelihood", "loglikelihood_rolling",
            "generate_until" or "multiple_choice".
        generation_kwargs: `until`, `max_gen_toks` (256), `do_sample`,
            `temperature` (0). Default: until the few-shot delimiter.
        repeats: Answers generated for each prompt.
        filter_list: Named chains of filters over the generated answers:
            `{"name": ..., "filter": [{"function": ..., ...}, ...]}`.
        metric_list: `{"metric": ..., "aggregation": ...,
            "higher_is_better": ..., options}`. Default: the usual ones of the
            output type.
        gen_prefix: The beginning of the answer, part of the prompt.
        should_decontaminate: Whether the query below is looked for in
            training data by a contamination check.
        doc_to_decontamination_query: Default: the question.
        unsafe_code: Whether generated programs are run.
        metadata: Anything; `version` is reported.

    Raises:
        InputError: A value is of the wrong type or out of range.

    Source: `TaskConfig` of https://github.com/EleutherAI/lm-evaluation-harness
    0.4.13.

    Example:

    >>> Task(task="sums", doc_to_text="{{a}}+{{b}}=", doc_to_target="sum",
    ...     test_split="test", dataset_path="json").output_type
    'generate_until'
    """

    task: str
    task_alias: str | None = None
    tag: str | list | None = None
    dataset_path: str | None = None
    dataset_name: str | None = None
    dataset_kwargs: dict[str, Any] | None = None
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    process_docs: str | None = None
    doc_to_text: str | int | None = None
    doc_to_target: str | int | list | None = None
    doc_to_choice: str | list | dict | None = None
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    fewshot_config: dict[str, Any] | None = None
    num_fewshot: int | None = None
    output_type: str = GENERATE
    generation_kwargs: dict[str, Any] | None = None
    repeats: int = 1
    filter_list: list[dict] | None = None
    metric_list: list[dict] | None = None
    gen_prefix: str | None = None
    should_decontaminate: bool = False
    doc_to_decontamination_query: str | None = None
    unsafe_code: bool = False
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("output_type", OUTPUT_TYPES)
        self._positive("repeats")
        if self.num_fewshot is not None:
            self._whole("num_fewshot", 0, 1000)
        if self.output_type == CHOICE and self.doc_to_choice is None:
            raise InputError(
                f"Expected doc_to_choice in the multiple-choice task "
                f"{self.task}. Received: none. Name the column of the choices."
            )
        self.prompt("")  # refuses what it cannot do
        _ = self.fewshot

    @property
    def eval_split(self) -> str:
        """The split that is evaluated: test, or else validation.

        Raises:
            InputError: The task names neither.
        """
        split = self.test_split or self.validation_split
        if split is None:
            raise InputError(
                f"Expected test_split or validation_split in task {self.task}. "
                "Received: neither. Name the split to evaluate on."
            )
        return split

    @functools.cached_property
    def fewshot(self) -> FewShot:
        """How solved examples are found and written."""
        inherited = {
            "split": self.fewshot_split,
            "process_docs": self.process_docs,
            "doc_to_text": self.doc_to_text,
            "doc_to_choice": self.doc_to_choice,
            "doc_to_target": self.doc_to_target,
            "gen_prefix": self.gen_prefix,
            "fewshot_delimiter": self.fewshot_delimiter,
            "target_delimiter": self.target_delimiter,
        }
        return FewShot.from_dict(inherited | (self.fewshot_config or {}))

    @property
    def version(self) -> Any:
        """`metadata.version`, "Yaml" without one, as in the harness."""
        return (self.metadata or {}).get("version", "Yaml")

    def prompt(self, context: str, seed: int = 0) -> Prompt:
        """Returns the request to answer `context`.

        Args:
            context: The whole prompt.
            seed: Of the drawing; ignored by greedy tasks.

        Raises:
            InputError: `generation_kwargs` has an unknown or wrong value.
        """
        given = self.generation_kwargs or {}
        _check_generation(given)
        until = given.get("until", self.fewshot_delimiter)
        most = [given[name] for name in _MOST_TOKENS if name in given]
        sampled = given.get("do_sample")
        temperature = float(given.get("temperature") or bool(sampled))
        temperature = 0.0 if sampled is False else temperature
        return Prompt(
            context,
            (until,) if isinstance(until, str) else tuple(until or ()),
            most[0] if most else 256,
            temperature,
            seed if temperature else 0,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskGroup(Checked):
    """Tasks that are asked for together, and how their numbers are averaged.

    Args:
        group: Its name.
        task: Names of its tasks and groups, or their fields.
        group_alias: What tables call it. Default: the name.
        aggregate_metric_list: `{"metric": ..., "weight_by_size": True,
            "filter_list": ...}`; without it nothing is averaged.
        metadata: Anything; `version` is reported.

    Raises:
        InputError: A value is of the wrong type.

    Example:

    >>> TaskGroup(group="small", task=["copa", "piqa"]).task
    ['copa', 'piqa']
    """

    group: str
    task: str | list
    group_alias: str | None = None
    aggregate_metric_list: dict | list | None = None
    metadata: dict[str, Any] | None = None


def _check_generation(given: dict[str, Any]) -> None:
    unknown = sorted(set(given) - _GENERATION)
    if unknown:
        raise InputError(
            f"Expected only {', '.join(sorted(_GENERATION))} in "
            f"generation_kwargs. Received: {', '.join(unknown)}. Remove it."
        )
    until = given.get("until", [])
    texts = until if isinstance(until, list) else [until]
    if not all(isinstance(text, str) and text for text in texts):
        raise InputError(
            "Expected generation_kwargs.until to be texts that are not empty. "
            f"Received: {until!r:.60}."
        )
    for name in _MOST_TOKENS:
        most = given.get(name, 1)
        if not fits(most, int) or most < 1:
            raise InputError(
                f"Expected generation_kwargs.{name} to be an integer above "
                f"zero. Received: {most!r}."
            )
    temperature, sampled = given.get("temperature"), given.get("do_sample")
    if temperature is not None and (
        not fits(temperature, int | float) or temperature < 0
    ):
        raise InputError(
            "Expected generation_kwargs.temperature to be a number of at "
            f"least 0. Received: {temperature!r}."
        )
    if not fits(sampled, bool | None) or (sampled and temperature == 0):
        raise InputError(
            "Expected generation_kwargs.do_sample to be true or false, and a "
            f"temperature above 0 with true. Received: {sampled!r} and "
            f"temperature {temperature!r}."
        )
