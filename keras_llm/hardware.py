"""What devices can do, by their makers, and what power costs the climate.

Peaks are dense: without the factor of two for sparse matrices that data
sheets like to print. Numbers are of one device (a GPU, a TPU chip).
"""

import dataclasses
import re

from keras_llm.errors import InputError
from keras_llm.records import Record

TERA, GIGA = 1e12, 1e9
H100_SHEET = "https://www.nvidia.com/en-us/data-center/h100/"
A100_SHEET = "https://www.nvidia.com/en-us/data-center/a100/"
TPU_PAGES = "https://cloud.google.com/tpu/docs/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device(Record):
    """One device of a kind.

    Args:
        name: As in `--hardware`.
        title: What it is.
        flops: Compute dtype -> FLOP/s of dense matrix products. A dtype that
            is not there is not multiplied by the hardware.
        memory: Bytes.
        bandwidth: Of the memory, bytes per second.
        watts: Most it draws, or None where the maker does not say.
        source: Where the numbers are from.

    Example:

    >>> DEVICES["l4"].memory
    24000000000.0
    """

    name: str
    title: str
    flops: dict[str, float]
    memory: float
    bandwidth: float | None
    watts: float | None
    source: str

    def peak(self, dtype: str) -> float:
        """Returns the FLOP/s in a compute dtype.

        Raises:
            InputError: The device does not multiply it.

        Example:

        >>> DEVICES["h100"].peak("bfloat16") / 1e12
        989.4
        """
        if dtype not in self.flops:
            raise InputError(
                f"Expected a precision that {self.title} multiplies: "
                f"{', '.join(self.flops)}. Received: {dtype}."
            )
        return self.flops[dtype]


def _device(
    name: str,
    title: str,
    half: float,
    single: float,
    memory: float,
    bandwidth: float,
    watts: float | None,
    source: str,
    bfloat16: bool = True,
    float16: bool = True,
) -> Device:
    """A row of the table: TFLOP/s, GB, GB/s, watts."""
    flops = {"float32": single * TERA}
    if bfloat16:
        flops["bfloat16"] = half * TERA
    if float16:
        flops["float16"] = half * TERA
    return Device(
        name=name,
        title=title,
        flops=flops,
        memory=memory * GIGA,
        bandwidth=bandwidth * GIGA,
        watts=watts,
        source=source,
    )


# float32 is true float32, as Keras computes it by default, not TF32.
DEVICES = {
    device.name: device
    for device in (
        _device(
            *("h100", "NVIDIA H100 SXM, 80 GB", 989.4, 66.9, 80, 3350, 700),
            H100_SHEET,
        ),
        _device(
            *("h200", "NVIDIA H200 SXM, 141 GB", 989.4, 66.9, 141, 4800, 700),
            "https://www.nvidia.com/en-us/data-center/h200/",
        ),
        _device(
            *("a100-40", "NVIDIA A100 SXM, 40 GB", 312, 19.5, 40, 1555, 400),
            A100_SHEET,
        ),
        _device(
            *("a100-80", "NVIDIA A100 SXM, 80 GB", 312, 19.5, 80, 2039, 400),
            A100_SHEET,
        ),
        _device(
            *("l4", "NVIDIA L4, 24 GB", 121, 30.3, 24, 300, 72),
            "https://www.nvidia.com/en-us/data-center/l4/",
        ),
        _device(
            *("t4", "NVIDIA T4, 16 GB", 65, 8.1, 16, 320, 70),
            "https://www.nvidia.com/en-us/data-center/tesla-t4/",
            bfloat16=False,
        ),
        _device(
            *("rtx4090", "NVIDIA RTX 4090, 24 GB", 165.2, 82.6, 24, 1008, 450),
            "NVIDIA Ada GPU architecture whitepaper, appendix A",
        ),
        # TPUs run float32 products as several in bfloat16: six at full
        # precision. Google does not publish what a chip draws.
        _device(
            *("v5e", "Google TPU v5e chip", 197, 197 / 6, 16, 819, None),
            TPU_PAGES + "v5e",
            float16=False,
        ),
        _device(
            *("v5p", "Google TPU v5p chip", 459, 459 / 6, 95, 2765, None),
            TPU_PAGES + "v5p",
            float16=False,
        ),
        _device(
            *("v6e", "Google TPU v6e chip", 918, 918 / 6, 32, 1640, None),
            TPU_PAGES + "v6e",
            float16=False,
        ),
        _device(
            *("laptop", "A laptop's CPU, 16 GB", 0.4, 0.4, 16, 50, 28),
            "An assumption: 8 cores, 8 lanes, 2 x 2 FLOPs, 1.6 GHz under load",
            float16=False,
        ),
    )
}
"""Name -> device."""

REGIONS = {
    "world": 481,
    "australia": 549,
    "austria": 111,
    "belgium": 138,
    "brazil": 98,
    "canada": 170,
    "chile": 291,
    "china": 582,
    "denmark": 152,
    "finland": 79,
    "france": 56,
    "germany": 381,
    "india": 713,
    "ireland": 291,
    "norway": 30,
    "us": 369,
}
"""Region -> grams of CO2 equivalent for a kWh of electricity in 2023.

Source: Ember, https://ourworldindata.org/grapher/carbon-intensity-electricity
"""


def find_hardware(name: str) -> tuple[Device, int]:
    """Returns the device and how many of it a name like "h100x8" means.

    Raises:
        InputError: No such device, or less than one of it.

    Example:

    >>> device, count = find_hardware("h100x8")
    >>> device.title, count
    ('NVIDIA H100 SXM, 80 GB', 8)
    """
    kind, count = split_hardware(name)
    if kind not in DEVICES:
        raise InputError(
            "Expected hardware such as h100 or h100x8, of "
            f"{', '.join(DEVICES)} or this. Received: {name!r}."
        )
    return DEVICES[kind], count


def split_hardware(name: str) -> tuple[str, int]:
    """Returns the kind of device and the count of a name like "h100x8".

    Raises:
        InputError: The count is zero.

    Example:

    >>> split_hardware("a100-80"), split_hardware("tpu-v5ex256")
    (('a100-80', 1), ('v5e', 256))
    """
    kind, count = name.strip().lower().removeprefix("tpu-"), 1
    several = re.fullmatch(r"(.+)x(\d+)", kind)
    if several and kind not in DEVICES:  # rtx4090 is one device
        kind, count = several[1], int(several[2])
    if count < 1:
        raise InputError(f"Expected one device or more. Received: {name!r}.")
    return kind, count


def carbon_intensity(region: str) -> float:
    """Returns grams of CO2 equivalent for a kWh in a region.

    Args:
        region: A name of `REGIONS`, or a number of grams as text.

    Raises:
        InputError: Neither.

    Example:

    >>> carbon_intensity("France"), carbon_intensity("12.5")
    (56, 12.5)
    """
    name = region.strip().lower()
    if name in REGIONS:
        return REGIONS[name]
    if re.fullmatch(r"\d+(\.\d+)?", name):
        return float(name)
    raise InputError(
        f"Expected a region of {', '.join(REGIONS)}, or the grams of CO2 for "
        f"a kWh as a number. Received: {region!r}."
    )
