"""The verb `synthesize`: data that models make, and noisy copies."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_llm.cli import synthesize_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import command, report, start_tensorflow
from keras_llm.errors import InputError

SHORT = 1_500  # characters of a document that is rewritten as a whole
TRAIN, HELD = "train.jsonl", "validation.jsonl"


@verb(
    "keras-llm synthesize instructions notes/ "
    "--model http://localhost:8000/v1#gemma --output runs/made",
    "keras-llm synthesize rephrase runs/corpus --style qa --model runs/tuned",
    "keras-llm synthesize prefer prompts.txt --model runs/tuned "
    "--judge http://localhost:8000/v1#gemma",
    "keras-llm synthesize augment sms.tsv --copies 4 --noises swap,keyboard",
)
def synthesize(
    kind: options.Kind,
    paths: options.Paths,
    output: options.Output = Path("runs/synthetic"),
    model: options.Model = None,
    prompt: options.PromptFile = None,
    dry_run: options.DryRun = False,
    limit: options.Limit = None,
    temperature: options.Temperature = 0.7,
    max_new_tokens: options.MaxNewTokens = 1024,
    concurrency: options.Concurrency = 8,
    seed: options.Seed = 0,
    prices: options.Prices = None,
    minimum_length: options.MinimumLength = None,
    near_duplicates: options.NearDuplicates = 0.7,
    decontaminate: options.Decontaminate = None,
    any_language: options.AnyLanguage = False,
    keep_personal: options.KeepPersonal = False,
    per_document: options.PerDocument = None,
    longest: options.Longest = None,
    style: options.Style = None,
    persona: options.Persona = None,
    judge: options.Judge = None,
    other: options.Other = None,
    copies: options.Copies = None,
    noises: options.Noises = None,
    strength: options.Strength = None,
    synonyms: options.Synonyms = None,
    hold_out: options.HoldOut = None,
    via: options.Via = None,
    language: options.Language = None,
) -> None:
    """Have a model make training data, and keep what is good.

    Of documents: instructions, questions, rephrase (text). Of chats:
    self-instruct (new ones like them), reflect (better ones). Of prompts:
    prefer (two answers, the better one first). Of labelled texts: augment
    (noisy copies, no model needed). Short, copied, repeated and refused
    answers go, each with its reason; what a killed run was told is kept.
    """
    from keras_llm.synthesize import SynthesisSettings

    shape = {"per_document": per_document, "style": style, "persona": persona}
    noise = {"copies": copies, "strength": strength, "noises": noises}
    noise |= {"synonyms": synonyms, "hold_out": hold_out, "via": via}
    rest = {"judge": judge, "other": other, "longest": longest}
    options.check_kind(kind, {**shape, **noise, **rest, "language": language})
    settings = SynthesisSettings(
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        concurrency=concurrency,
        seed=seed,
        limit=limit,
        minimum_length=minimum_length,
        near_duplicates=near_duplicates or None,
        same_language=not any_language,
        privacy=not keep_personal,
        benchmarks=tuple(map(str, decontaminate or ())),
        **options.prices_of(prices),
    )
    if kind == "augment":
        _augment(paths, output, settings, model, language, **noise)
        return
    task = _task(kind, prompt, shape)
    items = _items(kind, paths, longest)
    if dry_run:
        _show_prompt(task, items, settings)
        return
    _make(task, items, model, output, settings, judge, other)


def _task(kind: str, prompt: Path | None, shape: Mapping[str, Any]) -> Any:
    from keras_llm import synthesize as rooms
    from keras_llm.synthesize.prompts import read_prompt

    given = {name: value for name, value in shape.items() if value is not None}
    if "persona" in given and prompt is None:
        given.setdefault("style", "persona")
    if prompt is not None:
        given["prompt"] = read_prompt(prompt)
    if kind in ("instructions", "questions"):
        return rooms.FromDocuments(kind, **given)
    tasks = {
        "rephrase": rooms.Rephrase,
        "self-instruct": rooms.SelfInstruct,
        "reflect": rooms.Reflect,
        "prefer": rooms.Preferences,
    }
    return tasks[kind](**given)


def _items(kind: str, paths: Sequence[Path], longest: int | None) -> list[Any]:
    from keras_llm import synthesize as rooms
    from keras_llm.synthesize.reading import LONGEST

    if kind in options.DOCUMENTS:
        usual = SHORT if kind == "rephrase" else LONGEST
        found, counts = rooms.document_parts(*paths, longest=longest or usual)
    elif kind == "prefer":
        found, counts = rooms.prompts_of(*paths)
    else:
        found, counts = rooms.instructions_of(*paths)
    dropped = [one.reasons() for one in counts if one.dropped]
    for line in dropped:
        Console(stderr=True).print(line, markup=False, highlight=False)
    return found


def _show_prompt(task: Any, items: Sequence[Any], settings: Any) -> None:
    from keras_llm.synthesize.reading import checked_items

    chosen = checked_items(items, False)
    chosen = chosen[: None if task.seeds else settings.limit]
    prompts = task.prompts(chosen, settings)
    console = Console(highlight=False, soft_wrap=True)
    console.print(prompts[0], markup=False)
    console.print(
        f"\nThe first of {len(prompts):,} prompts, of "
        f"{sum(map(len, prompts)):,} characters in all; others may follow on "
        "the answers. Nothing was asked.",
        style="cyan",
    )


def _make(
    task: Any,
    items: Sequence[Any],
    model: str | None,
    output: Path,
    settings: Any,
    judge: str | None,
    other: str | None,
) -> None:
    from keras_llm.synthesize import synthesize as make
    from keras_llm.synthesize.running import EXAMPLES, check_folder

    check_folder(output)
    _ready(_named(model), judge, other)
    done = make(task, items, model, output, settings, judge, other)
    facts: dict[str, Any] = {"examples": done.examples}
    for counts in done.steps:
        facts |= {f"changed: {k}": n for k, n in counts.changed.items()}
        facts |= {f"dropped: {k}": n for k, n in counts.dropped.items()}
    facts |= {
        "questions": done.usage.questions,
        "tokens in": done.usage.tokens_in,
        "tokens out": done.usage.tokens_out,
    }
    if done.cost:
        facts["cost"] = f"{done.cost:.4f}"
    flavour = {"response": "chat", "rejected": "prefer", "text": "text"}
    report(
        f"Made {output}",
        facts,
        command(
            *("finetune", flavour[task.form[-1]], "runs/model"),
            *("--data", output / EXAMPLES),
        ),
    )


def _augment(
    paths: Sequence[Path],
    output: Path,
    settings: Any,
    model: str | None,
    language: str | None,
    copies: int | None,
    noises: str | None,
    strength: float | None,
    synonyms: Path | None,
    hold_out: float | None,
    via: str | None,
) -> None:
    from keras_llm.files import check_new_folder, holds_only, write_text
    from keras_llm.synthesize import augment, back_translate
    from keras_llm.synthesize.augmenting import read_synonyms
    from keras_llm.synthesize.noises import USUAL
    from keras_llm.synthesize.running import ANSWERS
    from keras_llm.tune.examples import held_out
    from keras_llm.tune.labelled import read_labelled

    if (model is None) != (via is None):
        raise InputError(
            "Expected --model and --via together, for translations there and "
            f"back. Received: {'--via' if via else '--model'} alone."
        )
    check_new_folder(output, holds_only({TRAIN, HELD, ANSWERS}))
    rows = [row for path in paths for row in read_labelled(path)]
    share = 0.1 if hold_out is None else hold_out
    train, held = held_out(rows, share, settings.seed)
    train = train[: settings.limit]
    made = augment(
        train,
        copies=2 if copies is None else copies,
        noises=_split(noises) if noises else USUAL,
        strength=0.1 if strength is None else strength,
        seed=settings.seed,
        synonyms=read_synonyms(synonyms) if synonyms else None,
        held_out=held,
    )
    noisy = len(made) - len(train)
    if model is not None and via is not None:
        _ready(model)
        asked = (model, language or "English", via, settings, output / ANSWERS)
        made += back_translate(train, *asked, held_out=held)[len(train) :]
    for name, some in ((TRAIN, made), (HELD, held)):
        write_text(output / name, "".join(map(_labelled_line, some)))
    report(
        f"Augmented {output}",
        {
            "training texts": len(train),
            "noisy copies": noisy,
            "translated copies": len(made) - len(train) - noisy,
            "held out, as they are": len(held),
        },
        command(
            *("finetune", "classify", "runs/model"),
            *("--data", output / TRAIN, "--validation", output / HELD),
        ),
    )


def _labelled_line(row: Any) -> str:
    one = len(row.labels) == 1
    record = {"text": row.text}
    record |= {"label": row.labels[0]} if one else {"labels": [*row.labels]}
    if row.text_pair is not None:
        record["text_pair"] = row.text_pair
    return json.dumps(record, ensure_ascii=False) + "\n"


def _split(names: str) -> list[str]:
    return [one.strip() for one in names.split(",") if one.strip()]


def _named(model: str | None) -> str:
    if model is None:
        raise InputError(
            "Expected --model: http://HOST:PORT/v1#MODEL, or a model of your "
            "own. Received: none. To see what would be asked: --dry-run."
        )
    return model


def _ready(*models: str | None) -> None:
    """Refuses what is no model; starts TensorFlow where one needs it."""
    from keras_llm.compare.opening import ENDPOINT, subject_kind

    kinds = {subject_kind(model) for model in models if model is not None}
    if kinds - {ENDPOINT}:
        start_tensorflow()
