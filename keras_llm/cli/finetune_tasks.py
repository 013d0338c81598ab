"""Options of the flavours of `keras-llm finetune` beyond text and chat."""

import dataclasses
from pathlib import Path
from typing import Annotated

from keras_llm.cli.finetune_options import (
    DATA,
    Merge,
    Neftune,
    Options,
    Template,
    option,
)

HEAD, LOSS, ANSWERS = "Labels", "Loss", "Answers"

Dropout = Annotated[
    float, option("Share of the head's inputs dropped in training.", HEAD)
]
ClassWeights = Annotated[
    str | None,
    option("balanced, or LABEL=WEIGHT with commas between: in the loss.", HEAD),
]
TooLong = Annotated[
    str, option("What happens to longer ones: drop, cut or error.", DATA)
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyOptions(Options):
    """Of `finetune classify`."""

    columns: Annotated[
        str | None,
        option("Names of a table's columns, as text,label.", DATA),
    ] = None
    multi_label: Annotated[
        bool,
        option("A text may have any number of labels.", HEAD, "--multi-label"),
    ] = False
    pooling: Annotated[
        str,
        option("What is read: last token, mean or attention.", HEAD),
    ] = "last"
    dropout: Dropout = 0.1
    class_weights: ClassWeights = None
    calibrate: Annotated[
        bool,
        option(
            "Fit the temperature of the probabilities on held-out texts.",
            HEAD,
            "--calibrate",
        ),
    ] = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokensOptions(Options):
    """Of `finetune tokens`."""

    place: Annotated[
        str, option("Which token of a word is labelled: last or first.", HEAD)
    ] = "last"
    echo: Annotated[
        bool,
        option(
            "Read twice, so that a word knows those after it.", HEAD, "--echo"
        ),
    ] = False
    dropout: Dropout = 0.1
    class_weights: ClassWeights = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferOptions(Options):
    """Of `finetune prefer`."""

    template: Template = None
    loss: Annotated[str, option("dpo, ipo, kto, orpo or simpo.", LOSS)] = "dpo"
    beta: Annotated[
        float | None,
        option(
            "How closely the reference is kept to.",
            LOSS,
            show_default="0.1; 2 for simpo",
        ),
    ] = None
    reference: Annotated[
        Path | None,
        option(
            "What dpo, ipo and kto keep to.",
            LOSS,
            show_default="the model as it is",
        ),
    ] = None
    label_smoothing: Annotated[
        float, option("Share of pairs the wrong way round.", LOSS)
    ] = 0.0
    too_long: TooLong = "drop"
    neftune: Neftune = None
    merge: Merge = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardOptions(Options):
    """Of `finetune reward`."""

    template: Template = None
    too_long: TooLong = "drop"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrpoOptions(Options):
    """Of `finetune grpo`."""

    template: Template = None
    reward: Annotated[
        str,
        option(
            "What an answer is worth: exact, number, regex:PATTERN or "
            "module:function.",
            LOSS,
        ),
    ] = "exact"
    kl: Annotated[
        float, option("Weight of the distance to the model as it is.", LOSS)
    ] = 0.0
    group: Annotated[int, option("Answers to each prompt.", ANSWERS)] = 8
    temperature: Annotated[float, option("They are sampled at.", ANSWERS)] = 1.0
    max_new_tokens: Annotated[
        int, option("Most tokens of an answer.", ANSWERS)
    ] = 64
    merge: Merge = False
