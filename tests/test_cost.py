"""Energy, CO2 and price, from counters that are files and a false program."""

import os
from pathlib import Path

import pytest

from keras_llm.train import WatchConfig
from keras_llm.train.cost import Cost, NvidiaSmi, Rapl, StatedWatts, find_meters


def counter(folder: Path, name: str, value: int, top: int = 1_000_000_000):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{value}\n")
    (folder / "max_energy_range_uj").write_text(f"{top}\n")


def test_rapl_adds_packages_and_memory_over_an_overflow(tmp_path):
    counter(tmp_path / "intel-rapl:0", "package-0", 5_000_000)
    counter(tmp_path / "intel-rapl:1", "package-1", 990_000_000)
    counter(tmp_path / "intel-rapl:0:0", "core", 1)
    counter(tmp_path / "intel-rapl:0:1", "dram", 0)
    counter(tmp_path / "intel-rapl:2", "psys", 1)
    rapl = Rapl(tmp_path)
    counter(tmp_path / "intel-rapl:0", "package-0", 7_000_000)
    counter(tmp_path / "intel-rapl:1", "package-1", 10_000_000)
    counter(tmp_path / "intel-rapl:0:0", "core", 900_000_000)
    counter(tmp_path / "intel-rapl:0:1", "dram", 500_000)
    counter(tmp_path / "intel-rapl:2", "psys", 900_000_000)
    assert rapl.joules() == pytest.approx(2 + 20 + 0.5)
    assert rapl.joules() == 0


def test_gpus_are_integrated_from_reading_to_reading(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    reading = tmp_path / "reading"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
                       f"cat {reading}\n")  # fmt: skip
    program.chmod(0o755)
    now = [0.0]
    reading.write_text("100.0\n300.5\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    meter = NvidiaSmi(str(program), clock=lambda: now[0])
    now[0], _ = 10.0, reading.write_text("200.0\n300.5\n")
    assert meter.joules() == pytest.approx((400.5 + 500.5) / 2 * 10)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--id=0,2" in asked[0] and "--query-gpu=power.draw" in asked[0]
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert [m.name for m in find_meters(50.0) if m.name != "RAPL"] == [
        "nvidia-smi"
    ]
    reading.write_text("[N/A]\n")
    assert "nvidia-smi" not in [meter.name for meter in find_meters(50.0)]


def test_cost_goes_on_where_a_run_was_stopped():
    now = [0.0]
    config = WatchConfig(price_per_kwh=0.5, region="400")
    meter = StatedWatts(3600.0, clock=lambda: now[0])
    cost = Cost(config, kwh=2.0, meters=[meter])
    now[0] = 1000.0
    found = cost.so_far(seconds=5000.0)
    assert found == pytest.approx({"kwh": 3.0, "co2_kg": 1.2, "price": 1.5})


def test_nothing_is_said_about_an_unknown_energy():
    assert Cost(WatchConfig(), meters=[]).so_far(10.0) == {}
    assert Cost(WatchConfig(), meters=[]).source == "unknown: state watts"
