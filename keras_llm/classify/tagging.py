"""tokens: from tagged sentences and a language model to a tagger."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_llm import adapters
from keras_llm.classify.balance import ClassWeights, label_weights
from keras_llm.classify.encoding import ids_for
from keras_llm.classify.model import token_model
from keras_llm.classify.objectives import OneLabel
from keras_llm.classify.rows import tag_rows
from keras_llm.classify.settings import FIRST, TaggerSettings
from keras_llm.classify.tagger import Tagger, evaluate_tags
from keras_llm.classify.training import Trainable, freeze, keep, run
from keras_llm.classify.words import windows_of
from keras_llm.data import ArrayRows
from keras_llm.tune import Tagged, labels_of, read_tagged, tag_ids


def tokens(
    lm: Any,
    train: Any,
    validation: Any = None,
    *,
    trainable: Trainable = "all",
    dropout: float = 0.1,
    class_weights: ClassWeights = None,
    place: str = FIRST,
    echo: bool = False,
    length: int | None = None,
    epochs: float | None = None,
    batch_size: int = 32,
    out: str | os.PathLike | None = None,
    **settings: Any,
) -> Tagger:
    """Trains a tagger of words on a language model, in place.

    Args:
        lm: A `CausalLM`; its weights change, as in `sequence`.
        train: The path of a CoNLL file (`tune.read_tagged`), or `tune.Tagged`
            sentences.
        validation: Sentences to measure on, or None.
        trainable, dropout, class_weights, epochs, batch_size: As in
            `sequence`, for sentences.
        place: Which token of a word is labelled, the others have no weight:
            "first", or "last", which has seen the whole word.
        echo: Whether the sentence is read twice and labelled the second
            time, so that a word knows those after it too. Takes twice the
            tokens.
        length: The most tokens of a row; longer sentences are cut into
            windows. Default: the model's context.
        out: As in `sequence`.
        **settings: As in `sequence`.

    Returns:
        The tagger, with a `report`.

    Raises:
        InputError: As for `sequence`.

    Source: Springer et al. 2024, https://arxiv.org/abs/2402.15449 (`echo`).

    Example:

    >>> from keras_llm import (BytePairTokenizer, CausalLM, DecoderConfig,
    ...     build_decoder)
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264,
    ...     progress=False)
    >>> lm = CausalLM(build_decoder(DecoderConfig(vocabulary_size=264,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> tagger = tokens(lm, [Tagged(("a", "rose"), ("O", "B-flower"))] * 2,
    ...     steps=2, batch_size=2)
    >>> sorted(evaluate_tags(tagger, [Tagged(("rose",), ("B-flower",))]))
    ['accuracy', 'errors', 'f1', 'kinds', 'macro_f1', 'precision', ...]
    """
    sentences = tagged(train)
    held_out = None if validation is None else tagged(validation)
    made = TaggerSettings(
        labels=labels_of(sentences),
        ids=ids_for(lm, length, pairs=False),
        dropout=dropout,
        place=place,
        echo=echo,
    )
    tag_ids(held_out or [], made.labels)  # before any work is done
    rows = rows_of(sentences, lm.tokenizer, made, class_weights)
    held_rows = None
    if held_out:
        held_rows = rows_of(held_out, lm.tokenizer, made, None)
    if isinstance(trainable, adapters.Lora):
        adapters.attach(lm.model, trainable)
    model = token_model(lm, len(made.labels), dropout)
    freeze(model, trainable)
    report = run(
        model,
        rows,
        held_rows,
        *(len(sentences), lm.tokenizer, OneLabel()),
        *(epochs, batch_size, out, trainable, settings),
    )
    told = {"sentences": len(sentences), "training": report.to_dict()}
    tagger = Tagger(model, lm.tokenizer, made, told)
    if held_out and out is not None:
        told["validation"] = evaluate_tags(tagger, held_out)
    if out is not None:
        keep(tagger, Path(out), report)
    return tagger


def tagged(sentences: Any) -> list[Tagged]:
    """Returns tagged sentences: from a file, or as they are.

    Raises:
        InputError: The file cannot be used.

    Example:

    >>> len(tagged([Tagged(("a",), ("O",))]))
    1
    """
    if isinstance(sentences, str | os.PathLike):
        return list(read_tagged(Path(sentences)))
    return list(sentences)


def rows_of(
    sentences: list[Tagged],
    tokenizer: Any,
    settings: TaggerSettings,
    class_weights: ClassWeights,
) -> ArrayRows:
    """Returns tagged sentences as rows for `train.fit`.

    Raises:
        InputError: A tag is unknown, or a word is empty.
    """
    targets = tag_ids(sentences, settings.labels)
    weights = label_weights(
        np.concatenate(targets), settings.labels, class_weights
    )
    ends = np.cumsum([len(one) for one in targets])[:-1]
    documents, chosen, counted = [], [], []
    for one, labels, each in zip(
        sentences, targets, np.split(weights, ends), strict=True
    ):
        for window in windows_of(one.words, tokenizer, settings):
            documents.append(window.ids)
            inside = window.words >= 0
            chosen.append(np.where(inside, labels[window.words], 0))
            counted.append(np.where(inside, each[window.words], 0.0))
    return tag_rows(documents, chosen, counted, tokenizer)
