"""What `keras-llm estimate` shows: tables for people, JSON for programs."""

import json
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table

from keras_llm.cli.info import size_text
from keras_llm.estimate_memory import Memory
from keras_llm.estimate_plan import Plan, as_dictionary
from keras_llm.estimate_setup import COMPUTE, Setup
from keras_llm.hardware import Device

SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
PARTS = {
    "weights": "weights",
    "gradients": "grads",
    "optimizer": "state",
    "activations": "acts",
    "logits": "logits",
}
"""Part of `Memory` -> the head of its column."""


def facts_of(found: Plan, setup: Setup) -> dict[str, Any]:
    """The lines of the first table."""
    parts, cost = found.parameters, found.flops
    facts: dict[str, Any] = {"parameters": parts.total}
    if parts.idle:
        facts["active for a token"] = parts.active
    facts |= {
        "FLOPs a token, forward": f"{cost.forward:.3e}",
        "FLOPs a token, backward": f"{cost.backward:.3e}",
        "FLOPs of the run": f"{found.total_flops:.3e}",
        "tokens": found.tokens,
        "compute-optimal tokens": f"{found.optimal_tokens:,} "
        f"(20 a parameter; this budget's best size: "
        f"{found.optimal_parameters:,} parameters)",
        "precision": setup.precision,
        "steps": f"{found.steps:,} of {setup.batch_size} rows",
        "time of a step": _time(found.seconds_per_step),
        "time": _time(found.days * 86400),
        "energy": _number(found.kilowatt_hours, "kWh"),
        "CO2": _number(found.kilograms_co2, "kg"),
        "price": _number(found.price, ""),
        "a checkpoint": size_text(found.checkpoint),
        "the model's folder": size_text(found.model_folder),
        "KV cache of a sequence": size_text(found.kv_cache),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _number(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:,.4g} {unit}".strip()


def _time(seconds: float) -> str:
    """Seconds in a unit that a person reads."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.3g} seconds"


def memory_table(rows: list[tuple[str, str, Memory]], device: Device) -> Table:
    """Memory of a device by part, for each strategy and precision."""
    room = size_text(round(device.memory))
    table = Table(
        title=f"GB on a device, of {room}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # 80 columns are enough
    )
    for name in ("strategy", "as"):
        table.add_column(name, style="cyan", no_wrap=True)
    for name in (*PARTS.values(), "other", "all", "fits"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, precision, held in rows:
        parts = [getattr(held, part) for part in PARTS]
        sizes = (*parts, held.total - sum(parts), held.total)
        table.add_row(
            name.replace("_parallel", ""),
            SHORT[COMPUTE[precision]],
            *(_gigabytes(size) for size in sizes),
            "yes" if held.total <= device.memory else "no",
        )
    return table


def _gigabytes(size: int) -> str:
    """Three digits or more: 80 columns are enough then."""
    digits = 2 if size < 1e10 else 1 if size < 1e11 else 0
    return f"{size / 1e9:,.{digits}f}"


def verdict(found: Plan) -> Iterator[str]:
    """Whether it fits, and what to change if not."""
    held, room = size_text(found.memory.total), size_text(int(found.available))
    if found.fits:
        yield f"It fits: {held} of {room}."
        return
    yield f"It does not fit: {held} of {room}. One on top of the other:"
    for lever in found.levers:
        end = "  fits" if lever.fits else ""
        yield f"  {lever.change:44} {size_text(lever.memory):>12}{end}"
    if not any(lever.fits for lever in found.levers):
        yield "  Not enough. Take a smaller model, or a shorter context."


def as_text(
    found: Plan,
    device: Device,
    setup: Setup,
    rows: list[tuple[str, str, Memory]],
) -> str:
    """Everything, for programs."""
    values = {
        "hardware": device.to_dict(),
        "setup": setup.to_dict(),
        "plan": as_dictionary(found),
        "strategies": [
            {
                "strategy": name,
                "precision": precision,
                "memory": held.to_dict() | {"total": held.total},
                "fits": held.total <= device.memory,
            }
            for name, precision, held in rows
        ],
    }
    return json.dumps(values, indent=2)
