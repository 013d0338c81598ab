"""sequence: from labelled texts and a language model to a classifier."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from keras_llm import adapters
from keras_llm.classify.balance import ClassWeights, label_weights
from keras_llm.classify.classifier import Classifier
from keras_llm.classify.curve import plot_curve
from keras_llm.classify.encoding import (
    encode_texts,
    ids_for,
    labelled,
    texts_of,
)
from keras_llm.classify.metrics import evaluate
from keras_llm.classify.model import sequence_model, unused_at_rest
from keras_llm.classify.objectives import ManyLabels, OneLabel
from keras_llm.classify.rows import text_rows
from keras_llm.classify.settings import MANY, ONE, ClassifierSettings
from keras_llm.data import ArrayRows
from keras_llm.errors import InputError
from keras_llm.files import write_text
from keras_llm.train import Objective, TrainReport, fit, read_history
from keras_llm.tune import Labelled, label_ids, label_matrix, labels_of

SAVED, METRICS, CURVE = "classifier", "classification.json", "curve.png"
HEAD = ("classifier/.*", "pooling/.*")
EPOCHS = 3
LINES = 20  # about so many lines of metrics, and half as many validations

Trainable = str | tuple[str, ...] | adapters.Lora


def sequence(
    lm: Any,
    train: Any,
    validation: Any = None,
    *,
    pooling: str = "last",
    kind: str = ONE,
    trainable: Trainable = "all",
    dropout: float = 0.1,
    class_weights: ClassWeights = None,
    length: int | None = None,
    epochs: float | None = None,
    batch_size: int = 32,
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> Classifier:
    """Trains a classifier of texts on a language model, in place.

    The decoder's layers are trained further with a new head on top. Texts
    share rows as documents do in pretraining, so that short ones cost little.

    Args:
        lm: A `CausalLM`; its weights change with the classifier's. Use
            `lm.replace(model=float32_copy(lm.model))` to keep it.
        train: Examples: the path of a file for `tune.read_labelled`, its
            records, or `(text, label)`. Records with a `text_pair` are pairs.
        validation: Examples to measure on, or None.
        pooling: "last", "mean" or "attention", see `sequence_model`.
        kind: "single" for one label of each text, "multi" for any number.
        trainable: "all"; "last_2", the last blocks and the final norm;
            "head", what is new alone; patterns for `adapters.freeze`; or an
            `adapters.Lora`. The new head always trains.
        dropout: Share of the head's inputs that is dropped. Default: 0.1.
        class_weights: "balanced", weights by label, or None. They count in
            the loss and the accuracy of training, not in those of
            validation.
        length: The most tokens of a text; longer ones keep the first.
            Default: the model's context.
        epochs: How often each example is seen. Default: 3, unless `steps`
            or `minutes` is given.
        batch_size: Texts of a step, about: as many rows as hold so many.
        out: Folder of the run (see `train.fit`), with `classifier/`,
            `classification.json` (metrics of scikit-learn, extra `eval`) and
            `curve.png` (extra `viz`) besides. None keeps nothing.
        **settings: Other fields of `TrainConfig`. `learning_rate` is 3e-4
            unless told otherwise, with a frozen decoder 3e-3.

    Returns:
        The classifier, with a `report`.

    Raises:
        InputError: An example, a label or a setting cannot be used; the
            message names the line. A label of `validation` is not in `train`.

    Example:

    >>> from keras_llm import (BytePairTokenizer, CausalLM, DecoderConfig,
    ...     build_decoder)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264,
    ...     progress=False)
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> classifier = sequence(lm, [("a rose", "flower"), ("a tax", "other")],
    ...     steps=2, batch_size=2)
    >>> classifier.labels, len(classifier.predict(["rose", "tax"]))
    (('flower', 'other'), 2)
    """
    examples = labelled(train)
    held_out = None if validation is None else labelled(validation)
    pairs = any(example.text_pair is not None for example in examples)
    made = ClassifierSettings(
        labels=labels_of(examples),
        ids=ids_for(lm, length, pairs),
        kind=kind,
        pooling=pooling,
        dropout=dropout,
        pairs=pairs,
    )
    # Whatever cannot be used is refused before the model is touched.
    held_rows = None
    if held_out:
        held_rows, _ = rows_of(held_out, lm.tokenizer, made, None)
    rows, cut = rows_of(examples, lm.tokenizer, made, class_weights)
    model = prepared(lm, trainable, made)
    objective = ManyLabels() if kind == MANY else OneLabel()
    say_cut(cut, len(examples), made.ids.length)
    report = run(
        model,
        rows,
        held_rows,
        *(len(examples), lm.tokenizer, objective),
        *(epochs, batch_size, out, trainable, settings),
    )
    told = {"examples": len(examples), "cut": cut, "training": report.to_dict()}
    classifier = Classifier(model, lm.tokenizer, made, told)
    if held_out is not None and out is not None:
        told["validation"] = evaluate(classifier, held_out)
    if out is not None:
        keep(classifier, Path(out), report)
    return classifier


def rows_of(
    examples: list[Labelled],
    tokenizer: Any,
    settings: ClassifierSettings,
    class_weights: ClassWeights,
) -> tuple[ArrayRows, int]:
    """Returns labelled texts as rows for `train.fit`, and how many were cut.

    Raises:
        InputError: A label is unknown, or a text cannot be used.
    """
    find = label_matrix if settings.many else label_ids
    targets = find(examples, settings.labels)
    weights = label_weights(targets, settings.labels, class_weights)
    texts = texts_of(examples, settings.pairs)
    documents, cut = encode_texts(texts, tokenizer, settings.ids)
    return text_rows(documents, targets, weights, tokenizer), cut


def prepared(lm: Any, trainable: Trainable, made: Any) -> Any:
    """Returns the model to train, with what shall rest at rest.

    Args:
        lm: A `CausalLM`.
        trainable: As in `sequence`.
        made: The settings of a classifier.

    Raises:
        InputError: `trainable` fits no weights of this model.
    """
    if isinstance(trainable, adapters.Lora):
        adapters.attach(lm.model, trainable)
    model = sequence_model(lm, len(made.labels), made.pooling, made.dropout)
    freeze(model, trainable)
    return model


def freeze(model: Any, trainable: Trainable) -> None:
    """Lets the head and what `trainable` names train, nothing else.

    Raises:
        InputError: It names nothing.
    """
    head = HEAD if getattr(model, "pooling", None) == "attention" else HEAD[:1]
    if isinstance(trainable, adapters.Lora) or trainable == "head":
        adapters.freeze(model, head)
    elif trainable == "all":
        adapters.freeze(model, "all")
    else:
        own = (trainable,) if isinstance(trainable, str) else tuple(trainable)
        adapters.freeze(model, own + head)


def run(
    model: Any,
    rows: ArrayRows,
    validation: ArrayRows | None,
    examples: int,
    tokenizer: Any,
    objective: Objective,
    epochs: float | None,
    batch_size: int,
    out: Any,
    trainable: Trainable,
    settings: dict[str, Any],
) -> TrainReport:
    """Calls `train.fit` with settings that fit a small set of examples."""
    size = max(1, round(batch_size * len(rows) / examples))
    size = min(size, len(rows))
    accumulate = settings.get("accumulate", 1)
    size = max(size // accumulate, 1) * accumulate
    if not {"steps", "minutes"} & set(settings):
        wanted = EPOCHS if epochs is None else epochs
        if not wanted > 0:
            raise InputError(f"Expected epochs above 0. Received: {epochs!r}.")
        settings = {
            "steps": max(1, round(wanted * len(rows) / size))
        } | settings
    elif epochs is not None:
        raise InputError(
            "Expected one of epochs, steps and minutes. Received: epochs and "
            f"{' and '.join({'steps', 'minutes'} & set(settings))}."
        )
    rate = 3e-4 if trainable == "all" else 1e-3
    every = settings.get("log_every") or lines_every(settings.get("steps"))
    defaults: dict[str, Any] = {
        "learning_rate": 3e-3 if trainable == "head" else rate
    }
    defaults |= {"log_every": every, "weight_decay": 0.01}
    for name in ("validate_every", "checkpoint_every", "sample_every"):
        defaults[name] = 2 * every
    with unused_at_rest(model):
        return fit(
            model,
            rows,
            validation_rows=validation,
            tokenizer=tokenizer,
            objective=objective,
            out=out,
            batch_size=size,
            **(defaults | settings),
        )


def lines_every(steps: int | None) -> int:
    """Returns after how many steps to write a line of metrics.

    Example:

    >>> lines_every(400), lines_every(5), lines_every(None)
    (20, 1, 10)
    """
    return 10 if steps is None else max(1, steps // LINES)


def say_cut(cut: int, examples: int, length: int) -> None:
    """Prints how many texts were cut, if any, to standard error."""
    if cut:
        print(
            f"{cut} of {examples} texts are longer than {length} tokens: the "
            "rest of them is not read.",
            file=sys.stderr,
        )


def keep(one: Any, out: Path, report: TrainReport) -> None:
    """Writes the classifier, its metrics and the curve into a run's folder."""
    one.save(out / SAVED)
    write_text(out / METRICS, json.dumps(one.report, indent=2) + "\n")
    plot_curve(read_history(str(report.history)), out / CURVE)
