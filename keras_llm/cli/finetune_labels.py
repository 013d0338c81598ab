"""`keras-llm finetune classify` and `tokens`: labels of texts and of words."""

import functools
import json
from collections.abc import Callable
from typing import Any

from keras_llm.cli.console import command
from keras_llm.cli.finetune import flavour
from keras_llm.cli.finetune_kept import report_of
from keras_llm.cli.finetune_options import Options, named
from keras_llm.cli.finetune_run import Recipe, load, run, split
from keras_llm.cli.finetune_tasks import ClassifyOptions, TokensOptions
from keras_llm.errors import InputError, check_choice
from keras_llm.files import write_text

POOLINGS, PLACES = ("last", "mean", "attention"), ("last", "first")
CALIBRATION = "calibration.json"
USE = {
    "Classifier": "from keras_llm.classify import Classifier\n\n"
    'classifier = Classifier.load("FOLDER")\n'
    'print(classifier.predict(["A text"]))',
    "Tagger": "from keras_llm.classify import Tagger\n\n"
    'tagger = Tagger.load("FOLDER")\n'
    'print(tagger.predict([["Some", "words"]]))',
}


@flavour(
    ClassifyOptions,
    "keras-llm finetune classify runs/model --data sms.tsv --validation "
    "held.tsv",
    "keras-llm finetune classify runs/model --data topics.jsonl --multi-label "
    "--pooling mean --lora 8",
)
def classify(options: ClassifyOptions) -> None:
    """Learn to give texts labels, with probabilities.

    Data are JSON Lines with "text" and "label" (or a list "labels"; a second
    text in "text_pair"), or tables of CSV or TSV. The classifier is in
    OUTPUT/classifier, its metrics in classification.json.
    """
    check_choice("--pooling", options.pooling, POOLINGS)
    columns = tuple(options.columns.split(",")) if options.columns else None

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import classify as labels
        from keras_llm.tune import read_labelled

        read = functools.partial(read_labelled, columns=columns)
        texts, held = split(options, read)
        _check_held(options, held)
        train = functools.partial(
            labels.sequence,
            kind="multi" if options.multi_label else "single",
            pooling=options.pooling,
        )
        one, lm = _trained(options, recipe, texts, held, train)
        if options.calibrate:
            one, found = labels.calibrate(one, held)
            one.save(options.output / "classifier")
            text = json.dumps(found.to_dict(), indent=2) + "\n"
            write_text(options.output / CALIBRATION, text)
        return _kept("classify", options, one, lm), None

    run("classify", options, tuned, [command("info", options.output)])


@flavour(
    TokensOptions,
    "keras-llm finetune tokens runs/model --data train.conll --validation "
    "dev.conll",
)
def tokens(options: TokensOptions) -> None:
    """Learn to give words labels, such as named entities.

    Data are CoNLL files: a word and its tag on a line, an empty line between
    sentences. The tagger is in OUTPUT/classifier.
    """
    check_choice("--place", options.place, PLACES)

    def tuned(recipe: Recipe) -> tuple[Any, Any]:
        from keras_llm import classify as labels
        from keras_llm.tune import read_tagged

        sentences, held = split(options, read_tagged)
        train = functools.partial(
            labels.tokens, place=options.place, echo=options.echo
        )
        one, lm = _trained(options, recipe, sentences, held, train)
        return _kept("tokens", options, one, lm), None

    run("tokens", options, tuned, [command("info", options.output)])


def _trained(
    options: Any,
    recipe: Recipe,
    examples: list,
    held: list,
    train: Callable[..., Any],
) -> tuple[Any, Any]:
    """Returns a trained classifier or tagger, and its `CausalLM`."""
    from keras_llm import adapters
    from keras_llm.tune.kept import told

    lora = options.adapter()
    lm = load(options)
    if options.bits is not None:
        _check_bits(options)
        adapters.quantize_base(lm.model, options.bits)
    recipe.keep(options.output)
    told(
        *(recipe.flavour, options.output, lm, options.trainable()),
        {"train": examples, "validation": held or None},
    )
    one = train(
        lm,
        examples,
        held or None,
        trainable=adapters.Lora(**lora)
        if lora
        else options.trainable()["weights"],
        dropout=options.dropout,
        class_weights=_weights(options.class_weights),
        length=options.context_length,
        out=options.output,
        **options.settings(),
    )
    return one, lm


def _kept(kind: str, options: Options, one: Any, lm: Any) -> Any:
    """Writes the card and the report; returns the report."""
    from keras_llm.tune.kept import finish

    report = report_of(
        *(kind, one.model, one.report["training"]),
        options.output / "classifier",
        *({}, _numbers(one.report.get("validation", {}))),
    )
    use = USE[type(one).__name__]
    task = f"{'text' if kind == 'classify' else 'token'}-classification"
    finish(report, lm, options.output, task=task, use=use)
    return report


def _numbers(measures: dict[str, Any]) -> dict[str, float]:
    """The measures that are one number."""
    return {
        name: float(value)
        for name, value in measures.items()
        if isinstance(value, int | float)
    }


def _weights(text: str | None) -> Any:
    """What `--class-weights` says."""
    if text is None or text == "balanced":
        return text
    pairs = named("--class-weights", text.split(","))
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError as error:
        raise InputError(
            "Expected --class-weights balanced, or LABEL=NUMBER with commas "
            f"between. Received: {text!r}."
        ) from error


def _check_bits(options: Options) -> None:
    if not options.lora:
        raise InputError(
            "Expected --lora RANK over integers, which do not train "
            f"themselves. Received: --bits {options.bits} without."
        )


def _check_held(options: ClassifyOptions, held: list) -> None:
    if options.calibrate and not held:
        raise InputError(
            "Expected held-out texts for --calibrate. Received: none. Pass "
            "--validation FILE, or --hold-out 0.1."
        )
