"""The tensors of a `peft` adapter: their matrices and our layers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_llm.adapters import Lora, lora_of
from keras_llm.adapters.layers import (
    base_kernel,
    check_new,
    dense_layers,
)
from keras_llm.adapters.tensors import (
    CONFIG,
    MAGNITUDE,
    A,
    B,
    Values,
    check_values,
    put_values,
    read_tensors,
    values_of,
    write_folder,
)
from keras_llm.errors import InputError
from keras_llm.model import Decoder
from keras_llm.sketch import sketch
from keras_llm.weights.table import Layout, entries_of, listing
from keras_llm.zoo.family import Family
from keras_llm.zoo.peft_config import (
    config_of,
    rank_of,
    read_config,
    scale_of,
    shortest,
)

PREFIX = "base_model.model."
A_KEY, B_KEY = ".lora_A.weight", ".lora_B.weight"
MAGNITUDE_KEY = ".lora_magnitude_vector"
ENDS = (A_KEY, B_KEY, MAGNITUDE_KEY, MAGNITUDE_KEY + ".weight")
SAME = {MAGNITUDE_KEY + ".weight": MAGNITUDE_KEY}  # of early versions


class Module(NamedTuple):
    """One matrix of theirs: the layers of ours in it, and how they lie."""

    name: str
    layers: list[str]
    widths: list[int]
    layout: Layout  # of (rank, outputs)
    fan_in_fan_out: bool


def write(
    model: Decoder,
    folder: str | os.PathLike,
    family: Family,
    name: str,
    base: str | None,
) -> None:
    """Writes an adapter; see `keras_llm.zoo.save_peft`."""
    family.to_hugging_face(model.config)  # says what it cannot express
    lora, values = lora_of(model, name), values_of(model, name)
    known = _modules(model, family).values()
    tensors, ranks, chosen = {}, {}, []
    for module in known:
        if any(path in values for path in module.layers):
            arrays = _joined(model, module, lora, values)
            start = f"{PREFIX}{module.name}"
            tensors |= {start + end: array for end, array in arrays.items()}
            ranks[module.name] = len(arrays[A_KEY])
            chosen.append(module)
    config = config_of(lora, ranks, [module.name for module in known])
    config["fan_in_fan_out"] = all(one.fan_in_fan_out for one in chosen)
    config["base_model_name_or_path"] = base
    write_folder(folder, tensors, config)


def read(
    model: Decoder, folder: str | os.PathLike, family: Family, name: str
) -> None:
    """Puts an adapter on a decoder; see `keras_llm.zoo.load_peft`."""
    check_new(model, name)
    config = read_config(Path(folder))
    tensors = _by_module(read_tensors(Path(folder), {}), family, folder)
    modules = _modules(model, family)
    _check_modules(tensors, modules, config, folder)
    ranks = {name: len(arrays[A_KEY]) for name, arrays in tensors.items()}
    scales = {
        name: scale_of(config, name, rank) for name, rank in ranks.items()
    }
    first = next(iter(scales))
    rank = max(ranks.values())
    root = rank**0.5 if config.get("use_rslora") else rank
    values: Values = {}
    for key, arrays in tensors.items():
        ratio = scales[key] / scales[first]
        values |= _split(modules[key], _filled(arrays, rank, ratio), folder)
    lora = Lora(
        rank=rank,
        alpha=scales[first] * root,
        dropout=float(config.get("lora_dropout") or 0.0),
        targets=tuple(shortest(values, dense_layers(model), "/")),
        rank_stabilized=bool(config.get("use_rslora")),
        dora=bool(config.get("use_dora")),
    )
    check_values(model, lora, values, folder)
    put_values(model, name, lora, values)


def _modules(model: Decoder, family: Family) -> dict[str, Module]:
    """Their matrices that are Dense layers here, by their name."""
    dense = dense_layers(model)
    modules = {}
    for entry in entries_of(sketch(model.config), family.weights):
        paths = [v.path.rpartition("/")[0] for v in entry.variables]
        kernels = all(v.path.endswith("/kernel") for v in entry.variables)
        if kernels and all(path in dense for path in paths):
            name = entry.name.removesuffix(".weight")
            modules[name] = Module(
                name,
                paths,
                [shape[-1] for shape in entry.shapes],
                Layout(True, entry.layout.interleave),
                not entry.layout.transposed,
            )
    return modules


def _joined(
    model: Decoder, module: Module, lora: Lora, values: Values
) -> dict[str, np.ndarray]:
    """The tensors of their one matrix from the adapters of our layers."""
    own = [values.get(path) for path in module.layers]
    there = [arrays for arrays in own if arrays]
    shared = len(there) == len(own) and all(
        np.array_equal(arrays[A], there[0][A]) for arrays in there
    )
    starts = there[:1] if shared else there
    rank, width = lora.rank, lora.rank * len(starts)
    parts, place = [], 0
    for arrays, outputs in zip(own, module.widths, strict=True):
        part = np.zeros((width, outputs), "float32")
        if arrays:
            part[place : place + rank] = arrays[B]
            place += 0 if shared else rank
        parts.append(part)
    tensors = {
        A_KEY: np.concatenate([arrays[A] for arrays in starts], -1).T,
        B_KEY: module.layout.join(parts),
    }
    if lora.dora:
        lengths = [
            arrays[MAGNITUDE] if arrays else _lengths(model, path)
            for path, arrays in zip(module.layers, own, strict=True)
        ]
        tensors[MAGNITUDE_KEY] = module.layout.join(lengths)
    return tensors


def _lengths(model: Decoder, path: str) -> np.ndarray:
    """The length of each column of a layer without an adapter."""
    return np.linalg.norm(base_kernel(dense_layers(model)[path]), axis=0)


def _by_module(
    tensors: Mapping[str, np.ndarray], family: Family, folder: Any
) -> dict[str, dict[str, np.ndarray]]:
    """Their tensors as float32 by module and end of the name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        end = next((e for e in ENDS if name.endswith(e)), None)
        if end is None:
            raise InputError(
                f"Expected only tensors of LoRA and DoRA in {folder}. "
                f"Received: {key}. Merge the adapter with peft and load the "
                "whole model."
            )
        name = name.removesuffix(end)
        if not name.startswith(family.weights.prefix):
            name = family.weights.prefix + name  # of the body alone
        arrays = found.setdefault(name, {})
        arrays[SAME.get(end, end)] = tensor.astype("float32")
    return found


def _check_modules(
    tensors: Mapping[str, Mapping[str, np.ndarray]],
    modules: Mapping[str, Module],
    config: Mapping[str, Any],
    folder: Any,
) -> None:
    """Refuses modules that are no Dense layers here, and halves of one."""
    unknown = sorted(set(tensors) - set(modules))
    if unknown or not tensors:
        raise InputError(
            f"Expected in {folder} adapters of matrices that are Dense layers "
            f"of this model. Received: {listing(unknown)}. There are: "
            f"{listing(modules)}."
        )
    wanted = {A_KEY, B_KEY}
    if config.get("use_dora"):
        wanted.add(MAGNITUDE_KEY)
    for name, arrays in tensors.items():
        if odd := sorted(wanted ^ set(arrays)):
            raise InputError(
                f"Expected {listing(sorted(wanted))} of {name} in {folder}. "
                f"Received otherwise: {listing(odd)}. Copy or download the "
                "folder again."
            )
        rank = rank_of(config, name)
        shapes = arrays[A_KEY].shape, arrays[B_KEY].shape
        if not (shapes[0][0] == shapes[1][-1] == rank):
            raise InputError(
                f"Expected rank {rank} of {name}, as {CONFIG} in {folder} "
                f"says. Received tensors of shape {shapes[0]} and "
                f"{shapes[1]}. Copy or download the folder again."
            )


def _filled(
    arrays: Mapping[str, np.ndarray], rank: int, ratio: float
) -> dict[str, np.ndarray]:
    """Tensors of a rank as those of a higher one and of another scale."""
    a, b = arrays[A_KEY], arrays[B_KEY] * np.float32(ratio)
    more = rank - len(a)
    return {
        **arrays,
        A_KEY: np.pad(a, ((0, more), (0, 0))),
        B_KEY: np.pad(b, ((0, 0), (0, more))),
    }


def _split(
    module: Module, arrays: Mapping[str, np.ndarray], folder: Any
) -> Values:
    """The adapters of our layers from the tensors of their one matrix."""
    b, outputs = arrays[B_KEY], sum(module.widths)
    if b.shape[0] != outputs:
        raise InputError(
            f"Expected {outputs} outputs of {module.name} in {folder}, as in "
            f"this model. Received: {b.shape[0]}. Load the model that the "
            "adapter was trained on."
        )
    parts = module.layout.split(b, [(b.shape[1], w) for w in module.widths])
    values = {
        path: {A: arrays[A_KEY].T, B: part}
        for path, part in zip(module.layers, parts, strict=True)
    }
    if MAGNITUDE_KEY in arrays:
        shapes = [(width,) for width in module.widths]
        lengths = module.layout.split(arrays[MAGNITUDE_KEY], shapes)
        for path, length in zip(module.layers, lengths, strict=True):
            values[path][MAGNITUDE] = length
    return values
