"""Meshes of devices as people write them: 2x4."""

import re
from collections.abc import Sequence

from keras_llm.errors import InputError


def parse_mesh(text: str) -> tuple[int, ...]:
    """Returns the shape that is written as "2x4".

    Raises:
        InputError: It is not two numbers above zero.

    Example:

    >>> parse_mesh("2x4")
    (2, 4)
    """
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise InputError(
            "Expected a mesh as ROWSxMODEL, as in 2x4: devices over which "
            f"rows are cut, and the model. Received: {text!r}."
        )
    rows, model = text.split("x")
    return int(rows), int(model)


def mesh_shape(mesh: Sequence[int] | str | None, count: int) -> tuple[int, ...]:
    """Returns the shape of a mesh for rows and the model.

    Args:
        mesh: As `(2, 4)` or "2x4"; None cuts the model over all devices.
        count: Devices that there are.

    Raises:
        InputError: They are not as many as the mesh has.

    Example:

    >>> mesh_shape("2x4", 8), mesh_shape(None, 8)
    ((2, 4), (1, 8))
    """
    if isinstance(mesh, str):
        mesh = parse_mesh(mesh)
    shape = (1, count) if mesh is None else tuple(mesh)
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != count:
        raise InputError(
            f"Expected a mesh of two numbers whose product is {count}, the "
            f"number of devices, such as {count}x1. Received: {shape}."
        )
    return shape
