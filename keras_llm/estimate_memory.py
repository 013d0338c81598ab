"""What a training step holds on each device, part by part.

Weights, gradients and the optimizer's state are exact. Activations are counted
from what autodiff keeps of a block, and how often a step holds each of them at
its fullest was fitted to runs of TensorFlow on a CPU (`benchmarks/memory.py`,
docs/plan_and_search.md has the numbers). Compilers on accelerators fuse more
and hold less: there the estimate is a bound rather than a measurement.
"""

import dataclasses
import math

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import BITS, count_parameters
from keras_llm.records import Record
from keras_llm.shapes import TABLE, Shape, parameter_shapes

FLOAT = 4  # bytes
COMPUTE = {
    "float32": "float32",
    "mixed_bfloat16": "bfloat16",
    "mixed_float16": "float16",
}
"""Precision of training -> compute dtype; weights are float32 in all."""
STRATEGIES = ("single", "data_parallel", "mirrored", "fsdp", "model_parallel")
MOMENTS = {"adamw": 2, "muon": 1, "lion": 1, "schedule_free": 2}
"""Optimizer -> values for each element of a kernel."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup(Record):
    """How a decoder is trained, as far as memory and time depend on it.

    Args:
        batch_size: Rows in a step, over all devices. Default: 16.
        context: Tokens in a row. Default: the decoder's context length.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        devices: How many there are. Default: 1.
        strategy: "single", "data_parallel", "mirrored", "fsdp" or
            "model_parallel". Default: "single".
        model_axis: Devices that share the heads and widths of a layer, with
            "model_parallel"; the others share the rows. Default: 1.
        optimizer: "adamw", "muon", "lion" or "schedule_free".
        optimizer_state: "float32" or "bfloat16".
        ema: Whether an average of the weights is kept. Default: False.
        accumulate: Micro-batches in a step. Default: 1.
        remat: Whether blocks are computed twice instead of kept.
        loss_chunk: Tokens whose logits are held at a time; None for all.

    Raises:
        InputError: A value is out of range or does not fit another.

    Example:

    >>> Setup(batch_size=64, devices=8, strategy="fsdp", accumulate=4).rows
    2
    """

    batch_size: int = 16
    context: int | None = None
    precision: str = "mixed_bfloat16"
    devices: int = 1
    strategy: str = "single"
    model_axis: int = 1
    optimizer: str = "adamw"
    optimizer_state: str = "float32"
    ema: bool = False
    accumulate: int = 1
    remat: bool = False
    loss_chunk: int | None = None

    def __post_init__(self) -> None:
        self._one_of("precision", tuple(COMPUTE))
        self._one_of("strategy", STRATEGIES)
        self._one_of("optimizer", tuple(MOMENTS))
        self._one_of("optimizer_state", ("float32", "bfloat16"))
        self._positive(
            *("batch_size", "context", "devices", "model_axis"),
            *("accumulate", "loss_chunk"),
        )
        several = self.strategy == "model_parallel"
        if self.devices % self.model_axis or (
            self.model_axis > 1 and not several
        ):
            raise InputError(
                'Expected model_axis with strategy="model_parallel", and to '
                f"divide the devices. Received: model_axis={self.model_axis}, "
                f"devices={self.devices}, strategy={self.strategy!r}."
            )
        if self.strategy == "single" and self.devices > 1:
            raise InputError(
                "Expected one device with the strategy single. Received: "
                f"{self.devices}. Choose data_parallel, fsdp, mirrored or "
                "model_parallel to use all of them."
            )
        if self.batch_size % self.accumulate:
            raise InputError(
                "Expected accumulate to divide batch_size. Received: "
                f"accumulate={self.accumulate}, batch_size={self.batch_size}."
            )

    @property
    def data_axis(self) -> int:
        """Devices that share the rows."""
        return self.devices // self.model_axis

    @property
    def rows(self) -> int:
        """Rows of a micro-batch on one device, rounded up."""
        return -(-self.batch_size // (self.accumulate * self.data_axis))

    def replace(self, **changes: object) -> "Setup":
        """Returns a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory(Record):
    """Bytes that one device holds at the fullest moment of a step.

    Args:
        weights: float32.
        gradients: float32; with accumulation three: sum, newest, new sum.
        optimizer: Moments, and the average of the weights if there is one.
        activations: What the backward pass of the blocks needs.
        logits: Logits, their gradient and what the loss holds beside them.
        working: Copies in the compute dtype, temporary tensors, the
            gradient of the token table on its way, gathered variables.
        framework: What TensorFlow and the compiled step take by themselves;
            only on the host's memory.

    Example:

    >>> Memory(weights=1, gradients=1, optimizer=2, activations=3, logits=1,
    ...     working=1, framework=0).total
    9
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    framework: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(dataclasses.astuple(self))


LOGITS = {4: 3.2, 2: 3.5}
"""Bytes of a computed value -> float32 tensors as large as the logits."""
UPDATE = 0.4  # of the gradients, in clipping and the optimizer
TABLE_COPIES = 1  # of the token table's gradient, beside the gradient
NEWEST = 3  # tensors as large as the attention weights of the block at work
PROCESS = 780_000_000  # bytes of a process with TensorFlow and this library
COMPILED = 130_000_000  # more for a compiled step without blocks
BLOCK = {"rms": 24_000_000, "rms_offset": 24_000_000, "layer": 32_000_000}
"""Norm -> more for each block of the compiled step, however small it is."""
BLOCK_AGAIN = 6_000_000  # more, if it is computed again


def memory_per_device(
    config: DecoderConfig, setup: Setup, host: bool = False
) -> Memory:
    """Estimates the memory of a training step on the fullest device.

    Args:
        config: The decoder.
        setup: How it is trained.
        host: Whether the device is the machine itself, whose memory also
            holds the program. Default: False.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> memory_per_device(config, Setup(batch_size=2)).optimizer
    15104
    """
    shapes = parameter_shapes(config)
    held = sum(part_of(path, s, setup) for path, s in shapes.items())
    matrices = sum(
        part_of(path, s, setup) for path, s in shapes.items() if len(s) > 1
    )
    width = BITS[COMPUTE[setup.precision]] // 8
    copies = 1 + 2 * (setup.accumulate > 1) + (setup.strategy == "mirrored")
    return Memory(
        weights=FLOAT * held,
        gradients=FLOAT * held * copies,
        optimizer=_state(shapes, setup),
        activations=_activations(config, setup, width),
        logits=_logits(config, setup, width),
        working=_working(config, setup, width, matrices),
        framework=_program(config, setup) if host else 0,
    )


def _program(config: DecoderConfig, setup: Setup) -> int:
    """Bytes of the process and its compiled step, without tensors."""
    block = BLOCK[config.norm] + (BLOCK_AGAIN if setup.remat else 0)
    return PROCESS + COMPILED + block * config.num_layers


def part_of(path: str, shape: Shape, setup: Setup) -> int:
    """Returns how many elements of a variable one device holds.

    Example:

    >>> setup = Setup(strategy="fsdp", devices=4)
    >>> part_of("block_0/mlp/up/kernel", (8, 16), setup)
    32
    """
    size = math.prod(shape)
    if len(shape) < 2 or "/router/" in path:
        return size
    parts = {
        "fsdp": setup.devices,
        "model_parallel": setup.model_axis,
    }.get(setup.strategy, 1)
    return -(-size // parts)


def _state(shapes: dict[str, Shape], setup: Setup) -> int:
    """Bytes of the optimizer's variables."""
    moment = BITS[setup.optimizer_state] // 8
    values = 0
    for path, shape in shapes.items():
        moments = MOMENTS[setup.optimizer]
        if setup.optimizer == "muon" and not _is_kernel(path, shape):
            moments = 2  # these have AdamW
        held = part_of(path, shape, setup)
        values += held * (moments * moment + setup.ema * FLOAT)
    return values


def _is_kernel(path: str, shape: Shape) -> bool:
    return len(shape) > 1 and path.startswith("block_")


def _tokens(config: DecoderConfig, setup: Setup) -> int:
    """Tokens of a micro-batch on a device."""
    return setup.rows * (setup.context or config.context_length)


def _activations(config: DecoderConfig, setup: Setup, width: int) -> int:
    """Bytes that the backward pass keeps of all blocks."""
    length = setup.context or config.context_length
    scores = config.num_heads * length / setup.model_axis * width
    block = _kept(config, width, setup.model_axis) + scores
    if config.dropout:  # the masks, and what is left of the weights
        block += 2 * scores + 2 * config.hidden_dim * width
    held = block * config.num_layers
    if setup.remat:
        held = config.hidden_dim * width * config.num_layers + block
    return round(_tokens(config, setup) * (held + NEWEST * scores))


def _kept(config: DecoderConfig, width: int, cut: int) -> float:
    """Bytes that autodiff keeps of a token in one block, without scores.

    Two norms keep three tensors each, of which two are float32 whatever the
    policy; attention keeps the scaled query, key, value and the mixed values,
    a gated MLP both sides, the activation, its derivative and the product.
    """
    norms = 6 * config.hidden_dim * width
    if width < FLOAT:
        norms = 4 * config.hidden_dim * FLOAT + 2 * config.hidden_dim * width
    heads = 2 * (config.num_heads + config.num_kv_heads) * config.head_dim
    inner, used = config.mlp_dim, 1
    if experts := config.experts:
        inner = experts.mlp_dim or config.mlp_dim
        used = experts.top_k + experts.shared
    return norms + (heads + 5 * inner * used) * width / cut


def _logits(config: DecoderConfig, setup: Setup, width: int) -> int:
    """Bytes of the logits and their gradient."""
    tokens = _tokens(config, setup)
    if setup.loss_chunk:
        tokens = min(tokens, setup.loss_chunk)
    values = tokens * config.vocabulary_size / setup.model_axis
    return round(LOGITS[width] * FLOAT * values)


def _working(
    config: DecoderConfig, setup: Setup, width: int, matrices: int
) -> int:
    """Bytes of what comes and goes."""
    shapes = parameter_shapes(config)
    table = part_of(TABLE, shapes[TABLE], setup)
    copies = width * matrices if width < FLOAT else 0
    update = round(UPDATE * FLOAT * matrices)  # when the copies are gone
    held = max(copies, update) + TABLE_COPIES * FLOAT * table
    if setup.strategy == "fsdp":  # the layer at work, whole
        block = count_parameters(config).blocks // config.num_layers
        held += width * max(block, math.prod(shapes[TABLE]))
    return held
