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
from keras_llm.estimate_levers import Lever, levers
from keras_llm.estimate_memory import Memory, memory_per_device
from keras_llm.estimate_setup import COMPUTE, STRATEGIES, Setup
from keras_llm.hardware import REGIONS, Device
from keras_llm.records import Record

MFU = 0.4  # Llama 3 on H100: 0.38 to 0.43, https://arxiv.org/abs/2407.21783
TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, table 3
HOUR, DAY = 3600, 86400


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
    if config.num_heads % setup.model_axis:
        raise InputError(
            f"Expected devices along the model axis that share the "
            f"{config.num_heads} heads evenly. Received: {setup.model_axis}."
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
