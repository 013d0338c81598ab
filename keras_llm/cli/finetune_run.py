"""What every flavour of `keras-llm finetune` does around its tuning."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from keras_llm.cli.board import open_board
from keras_llm.cli.console import check_output, report, start_tensorflow
from keras_llm.cli.finetune_options import Options
from keras_llm.cli.model import load_model, rounded
from keras_llm.errors import InputError
from keras_llm.files import read_json, sha256_of
from keras_llm.records import Record

RECIPE, BOARD = "finetune.json", "tensorboard"
PLAN, REPORT = "train.json", "tuning_report.json"  # of a run that began, ended
ADAPTER, MERGED = "adapter", "merged"  # folders of a run
# What may change from call to call.
FREE = ("config", "output", "watch", "merge", "strategy")
ALONE = ("single", "mirrored")  # strategies of a process that has no others


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """What `finetune` was told, kept in its folder.

    Args:
        flavour: Which of its commands.
        options: All its options.
        files: SHA-256 of each file of data.
    """

    flavour: str
    options: dict[str, Any]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Some letters that other recipes do not have."""
        text = json.dumps([self.flavour, self.options, self.files])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def keep(self, out: Path) -> None:
        """Writes it, or checks that the folder's run was told the same.

        A run that never began may be told something else.

        Raises:
            InputError: It was told something else, by name.
        """
        path = out / RECIPE
        if not path.exists() or not (out / PLAN).exists():
            out.mkdir(parents=True, exist_ok=True)
            return self.save(path)
        was = Recipe.load(path)
        changed = [
            f"--{name.replace('_', '-')} was {before} and is {now}"
            for name, now in self.options.items()
            if (before := was.options.get(name)) != now and name not in FREE
        ]
        changed += [
            f"{name} has another content"
            for name, digest in self.files.items()
            if was.files.get(name, digest) != digest
        ]
        if was.flavour != self.flavour:
            changed = [f"it is a run of `finetune {was.flavour}`"]
        if changed:
            raise InputError(
                f"Expected the options that the run in {out} was started "
                f"with. Received: {'; '.join(changed)}. Give the same to go "
                "on, or another --output to start anew."
            )


Tune = Callable[[Recipe], tuple[Any, Any]]


def run(
    flavour: str,
    options: Options,
    tune: Tune,
    next_commands: Iterable[str],
    files: Iterable[Path] = (),
    show: Callable[[Path], None] = lambda out: None,
) -> None:
    """Tunes, unless that is done already, and shows what came of it.

    Args:
        flavour: Name of the command.
        options: What it was told.
        tune: Loads, reads, keeps the recipe that it gets, tunes and saves.
            Returns the `TuneReport`, and the `CausalLM` or None.
        next_commands: Commands worth running next.
        files: Files of data besides `--data` and `--validation`.
        show: Shows something of the folder before the table.

    Raises:
        InputError: The folder holds something else than this run.
    """
    out = options.output
    check_output(out, force=True)
    _check_folder(out)
    recipe = Recipe(
        flavour=flavour,
        options=options.to_dict(),
        files=_hashes([*options.files(), options.validation, *files]),
    )
    if (out / PLAN).exists():
        recipe.keep(out)
    done, lm = _finished(out), None
    if done is None:
        start_tensorflow()
        with contextlib.ExitStack() as stack:
            if options.watch:
                address = stack.enter_context(open_board(out / BOARD))
                typer.echo(f"TensorBoard: {address}")
            stack.enter_context(_devices(options.strategy).scope())
            tuned, lm = tune(recipe)
        done = tuned.to_dict()
    merged = _merged(out, lm) if getattr(options, "merge", False) else {}
    show(out)
    report(f"Tuned {out}", {**_facts(done, out), **merged}, *next_commands)


def load(options: Options) -> Any:
    """Loads the model in the precision to train in.

    What is new in it, such as a classifier's head, follows from the seed. A
    new adapter goes on the weights with the one that is there.
    """
    import keras

    from keras_llm.adapters import adapter_names, merged_copy
    from keras_llm.train import choose_precision

    keras.utils.set_random_seed(options.seed)
    lm = load_model(options.model, choose_precision(options.precision))
    if options.lora and adapter_names(lm.model):
        typer.echo(
            f"The adapter of {options.model} is merged into its weights, and "
            "a new one learns.",
            err=True,
        )
        lm = lm.replace(model=merged_copy(lm.model))
    return lm


def keep_adapter(lm: Any, out: Path) -> None:
    """Writes a model's active adapter alone, if it has one."""
    from keras_llm.adapters import active, save_adapter

    name = active(lm.model)
    if name is not None:
        save_adapter(lm.model, out / ADAPTER, name)


def read_all(read: Callable[..., Iterable[Any]], files: list[Path]) -> list:
    """Returns the examples of several files."""
    return [example for file in files for example in read(file)]


def split(
    options: Options, read: Callable[..., Iterable[Any]]
) -> tuple[list, list]:
    """Returns what to learn and what to measure on.

    Args:
        options: `data`, `validation` and `hold_out`.
        read: From a file to examples.
    """
    from keras_llm.tune import held_out

    examples = read_all(read, options.files())
    if options.validation is not None:
        return examples, read_all(read, [options.validation])
    return held_out(examples, options.hold_out, options.seed)


def _devices(strategy: str) -> Any:
    """The devices of this machine to tune on.

    Refuses before a strategy would wait for other processes.
    """
    from keras_llm.train import distribution
    from keras_llm.train.cluster import find_cluster

    cluster = find_cluster()
    known = ALONE if cluster else ("auto", *ALONE, "data_parallel")
    if strategy not in known:
        raise InputError(
            f"Expected --strategy {' or '.join(known)}: finetune is one "
            "process and keeps the whole model on each device. Received: "
            f"{strategy} with {len(cluster.hosts) if cluster else 1} "
            "processes. Larger models on more machines are pretrained with "
            "`keras-llm train`."
        )
    return distribution(strategy)


def _check_folder(out: Path) -> None:
    """Refuses a folder with other files than those of a run."""
    if (out / RECIPE).exists() or not out.is_dir():
        return
    others = {path.name for path in out.iterdir()} - {BOARD}
    if others:
        raise InputError(
            "Expected a new folder, or that of an earlier finetune. Received: "
            f"{out}, which holds {min(others)}. Name another with --output."
        )


def _hashes(files: Iterable[Path | None]) -> dict[str, str]:
    """SHA-256 by path; a folder's files one by one."""
    found = {}
    for path in files:
        if path is None:
            continue
        if not path.exists():
            raise InputError(
                f"Expected a file of data. Received: {path}, which does not "
                f"exist. Check the spelling and the folder you are in "
                f"({Path.cwd()})."
            )
        within = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= {str(one): sha256_of(one) for one in within if one.is_file()}
    return found


def _finished(out: Path) -> dict[str, Any] | None:
    """The fields of a finished run's `TuneReport`, or None."""
    path = out / REPORT
    return read_json(path) if path.exists() else None


def _merged(out: Path, lm: Any) -> dict[str, Any]:
    """Writes the model without adapters."""
    from keras_llm.adapters import float32_copy

    folder = out / MERGED
    if not folder.exists():
        if lm is None:
            start_tensorflow()
            lm = load_model(out)
        lm.replace(model=float32_copy(lm.model)).save(folder)
    return {"without adapters": folder}


def _facts(done: dict[str, Any], out: Path) -> dict[str, Any]:
    """The lines of the table at the end."""
    some, every = done["trained_parameters"], done["parameters"]
    facts: dict[str, Any] = {
        "trained": f"{some:,} of {every:,} parameters ({some / every:.2%})"
    }
    for name, value in done["after"].items():
        first = done["before"].get(name)
        was = "" if first is None else f"{_number(first)} -> "
        facts[name] = was + _number(value)
    told = done["train"]
    facts |= {
        "steps": told["steps"],
        "tokens/s": rounded(told["tokens_per_second"], 0),
        "minutes": rounded(told["seconds"] / 60, 1),
        "computed in": told["precision"],
        "model": done["model"],
        "adapter": out / ADAPTER if (out / ADAPTER).exists() else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _number(value: float) -> str:
    return f"{value:,.4g}"


def show_samples(out: Path) -> None:
    """Prints the last answers that were written while training."""
    path = out / "samples.jsonl"
    if path.exists():
        *_, last = path.read_text(encoding="utf-8").splitlines()
        for text in json.loads(last)["texts"]:
            typer.echo(f"{text}\n")
