"""TrainConfig and TrainReport: what a run is told, and what it tells."""

import dataclasses
import math
from typing import Any

from keras_llm.data.hold_out import SEEDS
from keras_llm.errors import InputError
from keras_llm.records import Record
from keras_llm.train.watch_config import WatchConfig

MOST = 2**31 - 1
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = (
    *("auto", "single", "mirrored", "multi_worker"),  # TensorFlow
    *("data_parallel", "model_parallel", "fsdp"),  # JAX
)
SCHEDULES = ("cosine", "linear", "wsd", "inverse_square_root", "constant")
OPTIMIZERS = ("adamw", "muon", "lion", "schedule_free")
STATES = ("float32", "bfloat16")
GUARDS = (None, "skip", "roll_back")
PARAMETRIZATIONS = ("standard", "mup")


def check_loss_chunk(chunk: Any) -> None:
    """Refuses what is no number of tokens, "auto" or None.

    Raises:
        InputError: It is something else.

    Example:

    >>> check_loss_chunk("auto")
    """
    if chunk in (None, "auto"):
        return
    whole = isinstance(chunk, int) and not isinstance(chunk, bool)
    if not whole or chunk < 1:
        raise InputError(
            "Expected loss_chunk to be a number of tokens above zero, "
            f'"auto" or None. Received: {chunk!r}.'
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Record):
    """Settings of a training run; saved in its folder.

    Args:
        steps: Optimizer steps. Give either steps or minutes.
        minutes: Time for everything from the start of `fit`. The number of
            steps is planned from the measured time of a step, so that the
            learning rate ends its cosine when the time ends; training stops
            at the limit whatever happens.
        batch_size: Rows in a step, over all devices. Default: 16.
        learning_rate: Peak of the schedule. Default: 1e-3.
        schedule: "cosine", "linear", "wsd", "inverse_square_root" or
            "constant" (see `schedules`). Default: "constant" for the
            schedule-free optimizer, else "cosine".
        warmup_steps: Steps up to the peak; None means 5 % of all.
        min_ratio: Last learning rate as a share of the peak. Default: 0.1.
        decay_share: "wsd": share of the steps after the warm-up in which
            the rate falls. Default: 0.2.
        optimizer: "adamw", "muon", "lion" or "schedule_free" (see
            `optimizers`). Default: "adamw".
        weight_decay: Decay of kernels (see `decay_groups`). Default: 0.1.
        beta_1, beta_2, epsilon: AdamW's, also within Muon; Lion takes the
            betas. Defaults: 0.9, 0.95, 1e-8.
        optimizer_state: "float32", or "bfloat16" for moments of half the
            size, rounded up or down by chance. Default: "float32".
        ema: Decay of a moving average of the weights; it is what is
            validated, sampled from, saved and left in the model. None for
            none. Usual: 0.999.
        guard: What to do about a spike of the loss or the gradient norm:
            "skip" leaves out that update, "roll_back" goes back to the last
            checkpoint and leaves out the batches since. Default: None.
        guard_limit: Standard deviations over the running mean that make a
            spike. Default: 6.
        ramp_steps, ramp_from: Begin with batches of `ramp_from` rows, which
            grow in equal steps to `batch_size` within `ramp_steps`. They
            grow by a micro-batch, so `accumulate` says how fine the ramp is.
            Default: 0, no ramp.
        parametrization: "standard", or "mup" for learning rates that are
            best at every width (see `mup`); `base_width` is the width whose
            rates are kept as they are. Default: "standard".
        layer_decay: Factor from a layer's learning rate to that of the layer
            below, None for one rate (see `layer_rates`). Default: None.
        unfreeze_every: Steps after which the next layer below is trained,
            too, from the top down (see `unfreezing`); 0 trains all from the
            first step. Default: 0.
        clip_norm: Limit of the global gradient norm, None for none.
            Default: 1.
        accumulate: Micro-batches in a step; must divide batch_size.
        z_loss: Weight of the z-loss. Default: 0.
        label_smoothing: Share of the target that is spread evenly over the
            vocabulary while training; losses are reported without it.
            Default: 0.
        loss_chunk: Tokens whose logits are in memory at a time; None for
            all; "auto" slices where a micro-batch has over 2**26 logits, for
            which 256 MB are needed several times. Default: "auto".
        jit: Whether XLA compiles the whole step: True, False, "auto" for
            what a trial of a few steps finds faster, or None for the default
            of the backend (on with JAX, off with TensorFlow). Default: None.
        steps_per_execution: Steps that run without a look from Python; for
            steps of milliseconds. Must divide steps and log_every.
            Default: 1.
        prefetch: Batches made ahead; None lets `tf.data` decide.
            Default: None.
        precision: "float32", "mixed_bfloat16", "mixed_float16" (with loss
            scaling), or "auto": whatever the model was built with. A model
            has its precision from
            `build_decoder(config, dtype=choose_precision())`.
        strategy: "single", "mirrored", "multi_worker", "data_parallel",
            "model_parallel", "fsdp", or "auto": whatever the model was built
            in the scope of (see `train.distribution`). A run may be
            continued with another one.
        log_every: Steps between lines of `metrics.jsonl`; a line's loss is
            the mean since the previous one. Default: 10.
        validate_every, checkpoint_every, sample_every: Steps between
            validations, checkpoints and samples; multiples of log_every.
            All three also happen at the end. Default: 200.
        keep: Newest checkpoints to keep, beside the best. Default: 2.
        save_in_background: Write checkpoints in a thread while training goes
            on; takes the memory of weights and optimizer state once more
            while it writes. Default: True.
        watch: What is shown beside the losses, a `WatchConfig` or its fields
            as a dictionary.
        seed: Order of the rows. Default: 0.

    Raises:
        InputError: A value is out of range or does not fit another.

    Example:

    >>> TrainConfig(steps=100, batch_size=8).learning_rate
    0.001
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 16
    learning_rate: float = 1e-3
    schedule: str | None = None
    warmup_steps: int | None = None
    min_ratio: float = 0.1
    decay_share: float = 0.2
    optimizer: str = "adamw"
    weight_decay: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.95
    epsilon: float = 1e-8
    optimizer_state: str = "float32"
    ema: float | None = None
    guard: str | None = None
    guard_limit: float = 6.0
    ramp_steps: int = 0
    ramp_from: int | None = None
    parametrization: str = "standard"
    base_width: int | None = None
    layer_decay: float | None = None
    unfreeze_every: int = 0
    clip_norm: float | None = 1.0
    accumulate: int = 1
    z_loss: float = 0.0
    label_smoothing: float = 0.0
    loss_chunk: int | str | None = "auto"
    jit: bool | str | None = None
    steps_per_execution: int = 1
    prefetch: int | None = None
    precision: str = "auto"
    strategy: str = "auto"
    log_every: int = 10
    validate_every: int = 200
    checkpoint_every: int = 200
    sample_every: int = 200
    keep: int = 2
    save_in_background: bool = True
    watch: WatchConfig = WatchConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.watch, WatchConfig):
            self._set("watch", WatchConfig.from_dict(self.watch))
        self._one_of("precision", PRECISIONS)
        self._one_of("strategy", STRATEGIES)
        self._one_of("schedule", (None, *SCHEDULES))
        self._one_of("optimizer", OPTIMIZERS)
        self._one_of("optimizer_state", STATES)
        self._one_of("guard", GUARDS)
        self._one_of("parametrization", PARAMETRIZATIONS)
        self._one_of("jit", (None, True, False, "auto"))
        self._positive(
            *("steps", "minutes", "batch_size", "learning_rate"),
            *("epsilon", "clip_norm", "accumulate", "log_every"),
            *("validate_every", "checkpoint_every", "sample_every", "keep"),
            *("guard_limit", "ramp_from", "base_width", "prefetch"),
            "steps_per_execution",
        )
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                "Expected either steps or minutes: how long to train. "
                f"Received: steps={self.steps}, minutes={self.minutes}."
            )
        self._between("min_ratio", 0, 1)
        self._between("beta_1", 0, 0.99999)
        self._between("beta_2", 0, 0.99999)
        self._between("weight_decay", 0, math.inf)
        self._between("z_loss", 0, math.inf)
        self._between("label_smoothing", 0, 0.99999)
        check_loss_chunk(self.loss_chunk)
        self._between("decay_share", 0.00001, 1)
        if self.layer_decay is not None:
            self._between("layer_decay", 0.00001, 1)
        self._whole("unfreeze_every", 0, MOST)
        if self.ema is not None:
            self._between("ema", 0.00001, 0.999999)
        self._whole("ramp_steps", 0, self.steps or MOST)
        if self.warmup_steps is not None:
            self._whole("warmup_steps", 0, self.steps or MOST)
        self._whole("seed", 0, SEEDS - 1)
        if self.batch_size % self.accumulate:
            raise InputError(
                "Expected accumulate to divide batch_size. Received: "
                f"accumulate={self.accumulate}, batch_size={self.batch_size}."
            )
        for name in ("validate_every", "checkpoint_every", "sample_every"):
            self._check_interval(name)
        self._check_together()

    def warmup(self, total_steps: int) -> int:
        """Returns the warm-up steps of a run of `total_steps`.

        Example:

        >>> TrainConfig(steps=100).warmup(100)
        5
        """
        if self.warmup_steps is None:
            return -(-total_steps // 20)
        return min(self.warmup_steps, total_steps)

    def _check_together(self) -> None:
        """Settings that need or exclude each other."""
        free = self.optimizer == "schedule_free"
        curved = self.schedule not in (None, "constant")
        if free and (curved or self.ema is not None):
            raise InputError(
                'Expected schedule="constant" and no ema with the optimizer '
                "schedule_free, which averages instead. Received: "
                f"schedule={self.schedule!r}, ema={self.ema}."
            )
        if free and self.unfreeze_every:
            raise InputError(
                "Expected another optimizer than schedule_free for layers "
                "that begin later: it averages from the first step. Received: "
                f"unfreeze_every={self.unfreeze_every}."
            )
        if (self.parametrization == "mup") != (self.base_width is not None):
            raise InputError(
                'Expected base_width with parametrization="mup", and only '
                f"then. Received: parametrization={self.parametrization!r}, "
                f"base_width={self.base_width}."
            )
        each = self.steps_per_execution
        if self.log_every % each or (self.steps or 0) % each:
            raise InputError(
                "Expected steps_per_execution to divide log_every and steps: "
                f"nothing can happen in between. Received: {each}, log_every="
                f"{self.log_every}, steps={self.steps}."
            )
        part = self.batch_size // self.accumulate
        rows = self.ramp_from or 0
        if bool(self.ramp_steps) != bool(rows):
            raise InputError(
                "Expected both ramp_steps and ramp_from, or neither. Received:"
                f" ramp_steps={self.ramp_steps}, ramp_from={self.ramp_from}."
            )
        if rows and (rows % part or rows >= self.batch_size or not self.steps):
            raise InputError(
                "Expected a ramp in a run of a number of steps, from a "
                f"multiple of a micro-batch ({part} rows) below batch_size="
                f"{self.batch_size}. Received: ramp_from={rows}, "
                f"steps={self.steps}. Raise accumulate for a finer ramp."
            )

    def _check_interval(self, name: str) -> None:
        value, every = getattr(self, name), self.log_every
        if value % every:
            near = -(-value // every) * every
            raise InputError(
                f"Expected {name} to be a multiple of log_every={every}. "
                f"Received: {name}={value}. Use {near}, or another log_every."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainReport(Record):
    """What a run came to.

    Args:
        steps: Optimizer steps done; `planned_steps` were planned.
        tokens: Target tokens trained on, without padding.
        tokens_per_second: Of this process, after the first (compiling) step,
            without validation, checkpoints and samples.
        mfu: Model FLOPs utilization: `flops_per_token * tokens_per_second /
            peak_flops`.
        flops_per_token: See `train.flops_per_token`.
        peak_flops: FLOP/s of a large matrix product in the compute dtype,
            measured on this machine, not taken from a data sheet.
        loss, perplexity: Mean since the last but one line of the history.
            The perplexity is None where the loss is no likelihood.
        validation_loss, validation_perplexity: At the last step, or None.
        seconds: Time since the start, over all resumptions.
        peak_memory: Most bytes the process had in memory.
        parameters: Trainable parameters of the model.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        cost: `kwh`, `co2_kg` and `price` as far as they are known, and how,
            in `energy` (see `train.cost`); None without a folder.
        history: Path of `metrics.jsonl`, or None without a folder.
        checkpoint: Path of the last checkpoint, or None without a folder.

    Example:

    >>> "mfu" in TrainReport.__dataclass_fields__
    True
    """

    steps: int
    planned_steps: int
    tokens: int
    tokens_per_second: float | None
    mfu: float | None
    flops_per_token: int
    peak_flops: float
    loss: float
    perplexity: float | None
    validation_loss: float | None
    validation_perplexity: float | None
    seconds: float
    peak_memory: int
    parameters: int
    precision: str
    history: str | None
    checkpoint: str | None
    cost: dict[str, Any] | None = None
