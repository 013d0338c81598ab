"""What to change so that a training run fits into a device's memory."""

import dataclasses
from collections.abc import Iterator

from keras_llm.config import DecoderConfig
from keras_llm.estimate_memory import memory_per_device, tokens_at_once
from keras_llm.estimate_setup import Setup
from keras_llm.hardware import Device
from keras_llm.records import Record

CHUNK = 1024  # tokens of a slice of the loss
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

    if tokens_at_once(config, setup) > CHUNK:
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
