"""Options of `keras-llm train` that few runs need, grouped in its help."""

from typing import Annotated, Any

import typer

DEVICES = "Several devices"
UPDATE, SIZE, SPIKES = "How to update", "Batch that grows", "Spikes"
SPEED = "Speed and memory"

Strategy = Annotated[
    str,
    typer.Option(
        help="auto, single, mirrored (this machine's GPUs), multi_worker "
        "(see `keras-llm launch`); with KERAS_BACKEND=jax data_parallel, "
        "model_parallel or fsdp.",
        rich_help_panel=DEVICES,
    ),
]
Mesh = Annotated[
    str | None,
    typer.Option(
        help="Of model_parallel: parts of a batch x devices for each, for "
        "example 2x4.",
        rich_help_panel=DEVICES,
        show_default="all for one part",
    ),
]
Optimizer = Annotated[
    str,
    typer.Option(
        help="adamw, muon, lion or schedule_free.", rich_help_panel=UPDATE
    ),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        help="cosine, linear, wsd, inverse_square_root or constant.",
        rich_help_panel=UPDATE,
        show_default="cosine",
    ),
]
WarmupSteps = Annotated[
    int | None,
    typer.Option(
        help="Steps up to the peak.",
        rich_help_panel=UPDATE,
        show_default="5 % of all",
    ),
]
LearningRate = Annotated[
    float, typer.Option(help="Peak of the schedule.", rich_help_panel=UPDATE)
]
WeightDecay = Annotated[
    float, typer.Option(help="Decay of kernels.", rich_help_panel=UPDATE)
]
ClipNorm = Annotated[
    float,
    typer.Option(
        help="Limit of the gradient norm; 0 for none.", rich_help_panel=UPDATE
    ),
]
Ema = Annotated[
    float | None,
    typer.Option(
        help="Validate and save a moving average of the weights with this "
        "decay, for example 0.999.",
        rich_help_panel=UPDATE,
    ),
]
LabelSmoothing = Annotated[
    float,
    typer.Option(
        help="Share of each target spread over all tokens.",
        rich_help_panel=UPDATE,
    ),
]
OptimizerState = Annotated[
    str,
    typer.Option(
        help="float32, or bfloat16 to halve the moments' memory.",
        rich_help_panel=UPDATE,
    ),
]
BaseWidth = Annotated[
    int | None,
    typer.Option(
        help="Use muP, with the learning rate of a model of this width.",
        rich_help_panel=UPDATE,
    ),
]
Accumulate = Annotated[
    int,
    typer.Option(
        help="Micro-batches in a step, to save memory.", rich_help_panel=SPEED
    ),
]
RampSteps = Annotated[
    int,
    typer.Option(
        help="Steps until a step has all its rows.", rich_help_panel=SIZE
    ),
]
RampFrom = Annotated[
    int | None,
    typer.Option(help="Rows in the first step.", rich_help_panel=SIZE),
]
Guard = Annotated[
    str | None,
    typer.Option(
        help="skip leaves out updates that stand out, roll_back goes to the "
        "last checkpoint and leaves out the batches since.",
        rich_help_panel=SPIKES,
    ),
]
GuardLimit = Annotated[
    float,
    typer.Option(
        help="Standard deviations that make a spike.", rich_help_panel=SPIKES
    ),
]


Remat = Annotated[
    bool,
    typer.Option(
        help="Compute activations twice to save memory.", rich_help_panel=SPEED
    ),
]
LossChunk = Annotated[
    str,
    typer.Option(
        help="Tokens whose logits are in memory at a time: auto, all or a "
        "number.",
        rich_help_panel=SPEED,
    ),
]
Jit = Annotated[
    str | None,
    typer.Option(
        help="XLA: on, off, or auto for what a short trial finds faster.",
        rich_help_panel=SPEED,
        show_default="the backend's default",
    ),
]
StepsPerExecution = Annotated[
    int,
    typer.Option(
        help="Steps that run without a look from Python.",
        rich_help_panel=SPEED,
    ),
]
Prefetch = Annotated[
    int | None,
    typer.Option(
        help="Batches made ahead.",
        rich_help_panel=SPEED,
        show_default="tf.data decides",
    ),
]


def settings_of(**given: Any) -> dict[str, Any]:
    """Returns fields of `TrainConfig` from what these options say.

    Example:

    >>> settings_of(base_width=64, clip_norm=0.0, jit="on", loss_chunk="512")
    {'base_width': 64, 'clip_norm': None, 'jit': True, 'loss_chunk': 512, \
'parametrization': 'mup'}
    """
    if "clip_norm" in given:
        given["clip_norm"] = given["clip_norm"] or None
    if "loss_chunk" in given:
        given["loss_chunk"] = chunk_of(given["loss_chunk"])
    if given.get("jit") in ("on", "off"):
        given["jit"] = given["jit"] == "on"
    if given.get("base_width") is not None:
        given["parametrization"] = "mup"
    return given


def chunk_of(text: str) -> int | str | None:
    """Returns what `--loss-chunk` says; words but "all" are checked later.

    Example:

    >>> chunk_of("all"), chunk_of("512"), chunk_of("auto")
    (None, 512, 'auto')
    """
    if text == "all":
        return None
    return int(text) if text.isdecimal() else text
