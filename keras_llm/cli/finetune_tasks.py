"""Options of each flavour of `keras-llm finetune`, as records."""

import dataclasses
from pathlib import Path
from typing import Annotated

from keras_llm.cli.finetune_options import (
    ADAPTER,
    DATA,
    LONG,
    SIZE,
    WHAT,
    Options,
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
Texts = Annotated[
    int | None, option("Texts of a step.", LONG, show_default="32")
]
TooLong = Annotated[
    str, option("What happens to longer ones: drop, cut or error.", DATA)
]


Template = Annotated[
    str | None,
    option(
        "Chat template: chatml, alpaca, keras_llm, ...",
        DATA,
        show_default="the model's",
    ),
]
Merge = Annotated[
    bool,
    option("Also write a model without adapters.", ADAPTER, "--merge"),
]
Neftune = Annotated[
    float | None, option("Noise on the embeddings, as 5.", WHAT)
]
Teacher = Annotated[
    Path | None, option("A larger model to learn from.", "Teacher")
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions(Options):
    """Of `finetune text`."""

    replay: Annotated[
        list[Path] | None,
        option("General text against forgetting, read beside data.", DATA),
    ] = None
    replay_share: Annotated[
        float, option("Share of the rows that come from it.", DATA)
    ] = 0.1
    neftune: Neftune = None
    teacher: Teacher = None
    merge: Merge = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatOptions(Options):
    """Of `finetune chat`."""

    template: Template = None
    learn: Annotated[
        str, option("What is learned: answers, last or all.", DATA)
    ] = "answers"
    too_long: TooLong = "drop"
    task: Annotated[
        str | None,
        option(
            "Data are records of a task: summarize, translate, answer, "
            "sentiment or rewrite.",
            DATA,
        ),
    ] = None
    field: Annotated[
        list[str] | None,
        option("FIELD=NAME, where records call a task's field NAME.", DATA),
    ] = None
    same: Annotated[
        list[str] | None,
        option("FIELD=TEXT, the same for all records of a task.", DATA),
    ] = None
    answer: Annotated[
        list[str] | None,
        option("VALUE=WORD, what to say for a record's answer.", DATA),
    ] = None
    neftune: Neftune = None
    teacher: Teacher = None
    distill: Annotated[
        str,
        option(
            "What is learned from it: logits (same tokenizer) or answers.",
            "Teacher",
        ),
    ] = "logits"
    samples: Annotated[
        int, option("Held-out prompts answered in each epoch.")
    ] = 3
    merge: Merge = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyOptions(Options):
    """Of `finetune classify`."""

    batch_size: Texts = None
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

    batch_size: Texts = None
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

    epochs: Annotated[
        float | None,
        option("How often each is asked.", LONG, show_default="1"),
    ] = None
    batch_size: Annotated[
        int | None, option("Answers of a step.", LONG, show_default="64")
    ] = None
    strategy: Annotated[
        str, option("single: answers are drawn on one device.", SIZE)
    ] = "single"
    template: Template = None
    prompt: Annotated[str, option("The field with the prompt.", DATA)] = (
        "prompt"
    )
    reward: Annotated[
        str,
        option(
            "What an answer is worth: exact or number (with :FIELD), "
            "regex:PATTERN, module:function, or the folder of a run of "
            "finetune reward.",
            LOSS,
        ),
    ] = "exact"
    loss: Annotated[str, option("grpo or dr_grpo.", LOSS)] = "grpo"
    kl: Annotated[
        float, option("Weight of the distance to the model as it is.", LOSS)
    ] = 0.0
    group: Annotated[int, option("Answers to each prompt.", ANSWERS)] = 8
    temperature: Annotated[
        float, option("At which they are drawn.", ANSWERS)
    ] = 1.0
    max_new_tokens: Annotated[
        int, option("Most tokens of an answer.", ANSWERS)
    ] = 64
    merge: Merge = False
