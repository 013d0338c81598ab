"""What a training run will cost: time, energy, money, disk, and if it fits.

Everything follows from a config, a device of `hardware` and a `Setup`;
nothing is built or run.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.estimate import (
    Parameters,
    count_parameters,
    kv_cache_bytes,
    weight_bytes,
)
from keras_llm.estimate_flops import Flops, flops
from keras_llm.estimate_memory import (
    COMPUTE,
    STRATEGIES,
    Memory,
    Setup,
    memory_per_device,
)
from keras_llm.hardware import REGIONS, Device
from keras_llm.records import Record

MFU = 0.4  # Llama 3 on H100: 0.38 to 0.43, https://arxiv.org/abs/2407.21783
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, table 3
HOUR, DAY = 3600, 86400
CHUNK = 1024  # tokens of a slice, where the loss is cut into slices
MOST_DEVICES = 4096


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lever(Record):
    """One change that saves memory, on top of those before it.

    Args:
        change: What to change, as options of `keras-llm estimate`.
        memory: Bytes a device then holds.
        fits: Whether that is enough.
    """

    change: str
    memory: int
    fits: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """What a run takes.

    Args:
        parameters: By part.
        flops: Of the matrix products of a token, forward.
        tokens: To train on.
        total_flops: Of all products of the run, those of remat included.
        memory: Of the fullest device, by part.
        available: Bytes a device has.
        levers: What to change so that it fits; empty if it does.
        steps: Optimizer steps.
        seconds_per_step: At the stated share of the devices' peak.
        days: For all tokens; without validation, checkpoints and failures.
        kilowatt_hours: Of the devices at their limit, without hosts and
            cooling; None where the maker does not say what they draw.
        kilograms_co2: Of that energy, in the region.
        price: Of all devices for that time; None without a price.
        checkpoint: Bytes of one checkpoint: weights and optimizer.
        model_folder: Bytes of the trained model, float32.
        kv_cache: Bytes for one sequence of the full context, bfloat16.
        optimal_tokens: For the parameters: 20 a parameter.
        optimal_parameters: For `total_flops`: as many, at 20 tokens each.

    Source of the two: Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556.
    """

    parameters: Parameters
    flops: Flops
    tokens: int
    total_flops: float
    memory: Memory
    available: float
    levers: list[Lever]
    steps: int
    seconds_per_step: float
    days: float
    kilowatt_hours: float | None
    kilograms_co2: float | None
    price: float | None
    checkpoint: int
    model_folder: int
    kv_cache: int
    optimal_tokens: int
    optimal_parameters: int

    @property
    def fits(self) -> bool:
        """Whether the fullest device has room."""
        return self.memory.total <= self.available


def plan(
    config: DecoderConfig,
    device: Device,
    setup: Setup,
    tokens: int,
    mfu: float = MFU,
    carbon: float = REGIONS["world"],
    price: float | None = None,
    host: bool = False,
) -> Plan:
    """Plans a training run.

    Args:
        config: The decoder.
        device: One of the devices; `setup.devices` says how many.
        setup: How it is trained.
        tokens: To train on.
        mfu: Share of the peak that matrix products reach. Default: 0.4.
        carbon: Grams of CO2 equivalent for a kWh. Default: the world's.
        price: Of one device for an hour.
        host: Whether the device is a machine's own CPU and memory.

    Raises:
        InputError: The device does not multiply the precision, or a number
            is out of range.

    Example:

    >>> from keras_llm.hardware import DEVICES
    >>> config = DecoderConfig(vocabulary_size=50257, context_length=1024,
    ...     num_layers=12, hidden_dim=768, num_heads=12)
    >>> setup = Setup(batch_size=64, devices=8, strategy="data_parallel")
    >>> found = plan(config, DEVICES["h100"], setup, tokens=10**10)
    >>> found.fits, round(found.days, 2)
    (True, 0.03)
    """
    if not 0 < mfu <= 1:
        raise InputError(
            "Expected mfu above 0 and at most 1: the share of the peak that "
            f"is reached. Received: {mfu}."
        )
    if tokens < 1 or (price is not None and price < 0):
        raise InputError(
            "Expected tokens of at least 1 and a price of at least 0. "
            f"Received: tokens={tokens}, price={price}."
        )
    length = setup.context or config.context_length
    cost = flops(config, length)
    training = cost.training(setup.remat)
    peak = device.peak(COMPUTE[setup.precision]) * setup.devices
    seconds = tokens * training / (peak * mfu)
    energy = device.watts and device.watts * setup.devices * seconds / HOUR
    memory = memory_per_device(config, setup, host)
    parts = count_parameters(config)
    return Plan(
        parameters=parts,
        flops=cost,
        tokens=tokens,
        total_flops=float(tokens) * training,
        memory=memory,
        available=device.memory,
        levers=list(levers(config, device, setup, host)),
        steps=-(-tokens // (setup.batch_size * length)),
        seconds_per_step=setup.batch_size * length * training / (peak * mfu),
        days=seconds / DAY,
        kilowatt_hours=energy and energy / 1000,
        kilograms_co2=energy and energy / 1000 * carbon / 1000,
        price=price and price * setup.devices * seconds / HOUR,
        checkpoint=_checkpoint(config, setup),
        model_folder=weight_bytes(config),
        kv_cache=kv_cache_bytes(config, config.context_length),
        optimal_tokens=TOKENS_PER_PARAMETER * parts.active,
        optimal_parameters=round(
            math.sqrt(tokens * training / (6 * TOKENS_PER_PARAMETER))
        ),
    )


def compare(
    config: DecoderConfig, device: Device, setup: Setup, host: bool = False
) -> Iterator[tuple[str, str, Memory]]:
    """Yields strategy, precision and memory of all that the device can do.

    Example:

    >>> from keras_llm.hardware import DEVICES
    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> [name for name, _, _ in compare(config, DEVICES["t4"], Setup())]
    ['single', 'single']
    """
    for strategy in STRATEGIES:
        if (strategy == "single") != (setup.devices == 1):
            continue
        axis = 1
        if strategy == "model_parallel":
            axis = setup.model_axis
            if axis == 1:  # as many as share the heads evenly
                axis = math.gcd(config.num_heads, setup.devices)
        for precision, dtype in COMPUTE.items():
            if dtype in device.flops and not (
                dtype == "float16" and "bfloat16" in device.flops
            ):  # which takes as much
                changed = setup.replace(
                    strategy=strategy, model_axis=axis, precision=precision
                )
                memory = memory_per_device(config, changed, host)
                name = strategy
                if axis > 1:
                    name += f" {changed.data_axis}x{axis}"
                yield name, precision, memory


def levers(
    config: DecoderConfig, device: Device, setup: Setup, host: bool = False
) -> Iterator[Lever]:
    """Yields changes that save memory, one on top of the other, until it fits.

    The order is that of what they cost: first those that change nothing
    about the result and hardly the speed, last those that need more devices.

    Example:

    >>> from keras_llm.hardware import DEVICES
    >>> config = DecoderConfig(vocabulary_size=50257, context_length=1024,
    ...     num_layers=12, hidden_dim=768, num_heads=12)
    >>> setup = Setup(batch_size=32, precision="float32")
    >>> for lever in levers(config, DEVICES["rtx4090"], setup):
    ...     print(lever.change, lever.fits)
    --loss-chunk 1024 False
    --precision mixed_bfloat16 False
    --accumulate 2 True
    """
    held = memory_per_device(config, setup, host).total
    if held <= device.memory:
        return
    for change, changed in _changes(config, device, setup, host):
        memory = memory_per_device(config, changed, host).total
        if memory > 0.99 * held:
            continue
        held = memory
        yield Lever(change=change, memory=held, fits=held <= device.memory)
        if held <= device.memory:
            return


def _changes(
    config: DecoderConfig, device: Device, setup: Setup, host: bool
) -> Iterator[tuple[str, Setup]]:
    """What can be changed, in order; each on top of those before."""

    def fits(changed: Setup) -> bool:
        held = memory_per_device(config, changed, host).total
        return held <= device.memory

    if setup.loss_chunk is None:
        setup = setup.replace(loss_chunk=CHUNK)
        yield f"--loss-chunk {CHUNK}", setup
    if setup.precision == "float32" and "bfloat16" in device.flops:
        setup = setup.replace(precision="mixed_bfloat16")
        yield "--precision mixed_bfloat16", setup
    most = setup.batch_size // setup.data_axis
    parts = [n for n in range(setup.accumulate + 1, most + 1)]
    parts = [n for n in parts if setup.batch_size % n == 0]
    if parts:
        ways = (setup.replace(accumulate=n) for n in parts)
        last = setup.replace(accumulate=parts[-1])
        setup = next((way for way in ways if fits(way)), last)
        yield f"--accumulate {setup.accumulate}", setup
    if not setup.remat:
        setup = setup.replace(remat=True)
        yield "--remat", setup
    if setup.optimizer_state == "float32":
        setup = setup.replace(optimizer_state="bfloat16")
        yield "--optimizer-state bfloat16", setup
    if setup.devices > 1 and setup.strategy != "fsdp":
        setup = setup.replace(strategy="fsdp", model_axis=1)
        yield "--strategy fsdp", setup
    if host:
        return
    count = setup.devices
    while count < MOST_DEVICES:
        count *= 2
        more = setup.replace(devices=count, strategy="fsdp", model_axis=1)
        if fits(more):
            yield f"--hardware {device.name}x{count} --strategy fsdp", more
            return


def _checkpoint(config: DecoderConfig, setup: Setup) -> int:
    """Bytes of weights and optimizer state, wherever they are."""
    alone = setup.replace(devices=1, strategy="single", model_axis=1)
    held = memory_per_device(config, alone)
    return held.weights + held.optimizer


def as_dictionary(found: Plan) -> dict[str, Any]:
    """Returns a plan as JSON has it, with the sums that it implies.

    Example: see `keras-llm estimate --json`.
    """
    values = found.to_dict()
    values["parameters"]["total"] = found.parameters.total
    values["parameters"]["active"] = found.parameters.active
    values["memory"]["total"] = found.memory.total
    values["fits"] = found.fits
    values["flops"]["forward"] = found.flops.forward
    values["flops"]["backward"] = found.flops.backward
    return values
