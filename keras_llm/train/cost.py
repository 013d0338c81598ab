"""What a run costs so far: energy, CO2 and price, and how that is known.

Energy is read where the machine tells it: RAPL counts what the processor
packages and their memory use, `nvidia-smi` says what GPUs draw. Otherwise it
is time times the watts that somebody stated; without these nothing is said.
Only this process's machine is counted, without cooling and power supplies.

Sources: https://docs.kernel.org/power/powercap/powercap.html (RAPL, in
microjoules); https://docs.nvidia.com/deploy/nvidia-smi/ (power.draw, watts);
CO2 by region: see `keras_llm.hardware`.
"""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from keras_llm.hardware import carbon_intensity
from keras_llm.train.background import Background
from keras_llm.train.watch_config import WatchConfig

_log = logging.getLogger(__name__)
POWERCAP = Path("/sys/class/powercap")
JOULES = 3.6e6  # in a kWh


class Meter(Protocol):
    """Something that measures energy.

    Example:

    >>> StatedWatts(100.0).name
    '100 W as stated'
    """

    name: str

    def joules(self) -> float:
        """Returns the energy used since the call before."""
        ...


class StatedWatts:
    """A power that somebody stated, times the time.

    Example:

    >>> 0.0 <= StatedWatts(100.0).joules() < 100.0
    True
    """

    def __init__(
        self, watts: float, clock: Callable[[], float] = time.monotonic
    ):
        self.name = f"{watts:g} W as stated"
        self.watts, self.clock = watts, clock
        self._before = clock()

    def joules(self) -> float:
        """Returns the energy since the call before."""
        before, self._before = self._before, self.clock()
        return self.watts * (self._before - before)


class Rapl:
    """The counters of processor packages and their memory.

    Args:
        root: Where the kernel shows them.

    Example:

    >>> Rapl(Path("no/such/folder")).zones
    []
    """

    name = "RAPL"

    def __init__(self, root: Path = POWERCAP):
        self.zones = [
            zone
            for zone in sorted(root.glob("intel-rapl:*"))
            if os.access(zone / "energy_uj", os.R_OK)
            and (zone / "name").read_text().strip().startswith(_COUNTED)
        ]
        self._before = [self._count(zone) for zone in self.zones]

    def joules(self) -> float:
        """Returns the energy since the call before."""
        before, self._before = self._before, [*map(self._count, self.zones)]
        used = 0
        for zone, first, last in zip(
            self.zones, before, self._before, strict=True
        ):
            if last < first:  # the counter began again
                last += int((zone / "max_energy_range_uj").read_text())
            used += last - first
        return used / 1e6

    @staticmethod
    def _count(zone: Path) -> int:
        return int((zone / "energy_uj").read_text())


# Cores and graphics are part of their package; psys is the whole machine.
_COUNTED = ("package", "dram")


class NvidiaSmi:
    """What the visible GPUs draw, from one reading to the next.

    Args:
        program: `nvidia-smi`.

    Raises:
        OSError: It cannot be started.
        subprocess.SubprocessError: It failed.
        ValueError: The GPU does not say what it draws.

    Example:

    >>> NvidiaSmi.name
    'nvidia-smi'
    """

    name = "nvidia-smi"

    def __init__(
        self, program: str, clock: Callable[[], float] = time.monotonic
    ):
        self.program, self.clock = program, clock
        self._before = clock(), self.watts()

    def watts(self) -> float:
        """Returns what they draw now, together."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        chosen = [f"--id={visible}"] if visible else []
        done = subprocess.run(
            [self.program, "--query-gpu=power.draw", *_FORMAT, *chosen],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return sum(float(line) for line in done.stdout.split())

    def joules(self) -> float:
        """Returns the energy since the call before: mean power times time."""
        start, before = self._before
        self._before = now, watts = self.clock(), self.watts()
        return (before + watts) / 2 * (now - start)


_FORMAT = ("--format=csv,noheader,nounits",)


def find_meters(watts: float | None = None) -> list[Meter]:
    """Returns what can be read here, else the stated power, else nothing.

    Args:
        watts: The stated power, or None.

    Example:

    >>> len(find_meters(100.0)) >= 1
    True
    """
    found: list[Meter] = []
    rapl = Rapl()
    if rapl.zones:
        found.append(rapl)
    gpus = _gpus()
    if gpus is not None:
        found.append(gpus)
    if not found and watts is not None:
        found.append(StatedWatts(watts))
    return found


def _gpus() -> NvidiaSmi | None:
    """The GPUs, unless there are none, no driver, or they do not say."""
    program = shutil.which("nvidia-smi")
    try:
        return NvidiaSmi(program) if program else None
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.info("The power of GPUs is not known: %s", error)
        return None


class Cost:
    """The energy, CO2 and price of a run so far.

    Args:
        config: Watts, region and prices.
        kwh: Energy of the run before this process.
        meters: Default: `find_meters`.

    Attributes:
        source: How the energy is known, in words.

    Example:

    >>> cost = Cost(WatchConfig(price_per_hour=2.0), meters=[])
    >>> cost.source, cost.so_far(seconds=1800.0)
    ('unknown: state watts', {'price': 1.0})
    """

    def __init__(
        self,
        config: WatchConfig,
        kwh: float | None = None,
        meters: Sequence[Meter] | None = None,
    ):
        if meters is None:
            meters = find_meters(config.watts)
        self.config, self.meters = config, meters
        self.kwh = kwh if not meters else kwh or 0.0
        names = " + ".join(meter.name for meter in meters)
        self.source = names or "unknown: state watts"
        self._thread = Background()

    def so_far(self, seconds: float, wait: bool = False) -> dict[str, float]:
        """Returns `kwh`, `co2_kg` and `price`, those that are known.

        A reading may take a moment, so it is made in the background, and
        what is returned may be one call old.

        Args:
            seconds: Time of the whole run.
            wait: Whether to wait for a new reading: at the end.
        """
        if wait or not self._thread.busy:
            self._thread.start(self._read)
        if wait or all(isinstance(m, StatedWatts) for m in self.meters):
            self._thread.wait()
        found = {}
        if self.kwh is not None:
            found["kwh"] = self.kwh
            grams = self.kwh * carbon_intensity(self.config.region)
            found["co2_kg"] = grams / 1000
        price = self._price(seconds)
        return found if price is None else found | {"price": price}

    def _read(self) -> None:
        if self.kwh is not None:
            self.kwh += sum(meter.joules() for meter in self.meters) / JOULES

    def _price(self, seconds: float) -> float | None:
        hour, kwh = self.config.price_per_hour, self.config.price_per_kwh
        if hour is None and (kwh is None or self.kwh is None):
            return None
        energy = (kwh or 0.0) * (self.kwh or 0.0)
        return (hour or 0.0) * seconds / 3600 + energy
