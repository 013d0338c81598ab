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
from keras_llm.estimate import BITS, count_parameters
from keras_llm.estimate_setup import COMPUTE, MOMENTS, Setup
from keras_llm.records import Record
from keras_llm.shapes import TABLE, Shape, parameter_shapes

FLOAT = 4  # bytes


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
CHUNKED = {4: 4.5, 2: 4.0}  # the same, of a slice
SLICE, WHOLE = 2**25, 2**26  # logits of "auto", as `train.chunked_loss` has it
UPDATE = 0.4  # of the gradients, in clipping and the optimizer
TABLE_COPIES = 1  # of the token table's gradient, beside the gradient
NEWEST = 3  # tensors as large as the attention weights of the block at work
PROCESS = 780_000_000  # bytes of a process with TensorFlow and this library
COMPILED = 130_000_000  # more for a compiled step without blocks
BLOCK = {"rms": 24_000_000, "rms_offset": 24_000_000, "layer": 32_000_000}
"""Norm -> more for each block of the compiled step, however small it is."""
BLOCK_AGAIN = 9_000_000  # more, if it is computed again


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
    # An average of the weights, or where schedule-free goes on from.
    copies = setup.ema + (setup.optimizer == "schedule_free")
    values = 0
    for path, shape in shapes.items():
        moments = MOMENTS[setup.optimizer]
        if setup.optimizer == "muon" and not _is_kernel(path, shape):
            moments = 2  # these have AdamW
        held = part_of(path, shape, setup)
        values += held * (moments * moment + copies * FLOAT)
    return values


def _is_kernel(path: str, shape: Shape) -> bool:
    return len(shape) > 1 and path.startswith("block_")


def _activations(config: DecoderConfig, setup: Setup, width: int) -> int:
    """Bytes that the backward pass keeps of all blocks."""
    length, tokens = (
        setup.context or config.context_length,
        setup.tokens(config),
    )
    scores = config.num_heads * length / setup.model_axis * width
    block = _kept(config, width, setup.model_axis) + scores
    if config.dropout:  # the masks, and what is left of the weights
        block += 2 * scores + 2 * config.hidden_dim * width
    scores *= tokens
    # The logits are there when the backward pass begins, and have gone when
    # it is at work in the blocks.
    logits = _logits(config, setup, width)
    if not setup.remat:
        kept = tokens * block * config.num_layers
        return round(kept + max(scores, NEWEST * scores - logits))
    inputs = tokens * config.hidden_dim * width * config.num_layers
    again = tokens * block + NEWEST * scores
    # How much of both is there at once changes from run to run.
    return round(inputs + max(again / 2, again - logits))


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


def tokens_at_once(config: DecoderConfig, setup: Setup) -> int:
    """Returns the tokens of a device whose logits are there at a time.

    Example:

    >>> config = DecoderConfig(vocabulary_size=50304, context_length=1024,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> tokens_at_once(config, Setup(batch_size=8))
    667
    """
    tokens, vocabulary = setup.tokens(config), config.vocabulary_size
    chunk = setup.loss_chunk
    if chunk == "auto":
        chunk = SLICE // vocabulary if tokens * vocabulary > WHOLE else None
    return min(tokens, int(chunk or tokens))


def _logits(config: DecoderConfig, setup: Setup, width: int) -> int:
    """Bytes of the logits and their gradient."""
    tokens = tokens_at_once(config, setup)
    sliced = tokens < setup.tokens(config)
    values = tokens * config.vocabulary_size / setup.model_axis
    copies = CHUNKED[width] if sliced else LOGITS[width]
    return round(copies * FLOAT * values)


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
