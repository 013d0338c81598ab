"""Which variables of a decoder are cut over devices, and along which axis.

The rules stand beside the model because they read its variables' paths. A
mesh has an axis "batch", over which rows are cut, and maybe an axis "model":

- With "model", each device has whole heads, a part of every MLP's width, some
  of the experts and a part of the vocabulary. Two sums over devices a block
  make up for it (Megatron).
- Without, "batch" also cuts every large variable; it is put together where
  it is used, and its moments never are (fully sharded, as in ZeRO).

Nothing is cut or left whole by accident: a large variable without a rule is
an error, and so is a size that the devices do not divide.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.shapes import parameter_shapes

BATCH, MODEL = "batch", "model"
LARGE = 2**14  # elements; smaller ones without a rule stay whole
Axes = tuple[str | None, ...]


class Rule(NamedTuple):
    """Along which axis variables are cut over the "model" axis of a mesh.

    Args:
        pattern: Regular expression for the end of a path.
        axes: The axis to cut, and others to take where the devices do not
            divide it. Empty: these variables stay whole.
        size: What the size of that axis is called in a config.

    Example:

    >>> RULES[0].axes
    (0,)
    """

    pattern: str
    axes: tuple[int, ...]
    size: str = ""


RULES = (
    Rule("token_embedding/embeddings", (0,), "vocabulary_size"),
    Rule("token_embedding/reverse_embeddings", (1,), "vocabulary_size"),
    Rule("position_embedding/embeddings", (0, 1), "context_length"),
    # By heads: columns in, rows out. Key and value heads may be fewer than
    # devices; then their channels are cut, and XLA puts them together.
    Rule("attention/(query|key|value)/kernel", (1,), "heads * head_dim"),
    Rule("attention/(query|key|value)/bias", (0,), "heads * head_dim"),
    Rule("attention/output/kernel", (0,), "heads * head_dim"),
    Rule("(mlp|shared)/(gate|up)/kernel", (1,), "mlp_dim"),
    Rule("(mlp|shared)/(gate|up)/bias", (0,), "mlp_dim"),
    Rule("(mlp|shared)/down/kernel", (0,), "mlp_dim"),
    # By expert; where the devices do not divide them, each as an MLP.
    Rule("experts/(gate|up)", (0, 2), "experts.count"),
    Rule("experts/down", (0, 1), "experts.count"),
    Rule("experts/(gate|up)_bias", (0, 1), "experts.count"),
    Rule("experts/down_bias", ()),
    # Small, and needed whole by every device.
    Rule("(attention/output|(mlp|shared)/down)/bias", ()),
    Rule("experts/router/(kernel|bias)", ()),
    Rule("norm/(scale|gamma|beta)", ()),
    Rule("attention/sinks", ()),
)


def layout_map(
    model: Any,
    mesh: Any,
    rules: Mapping[str, Axes] | None = None,
) -> Any:
    """Returns how each variable of a decoder is cut over a mesh.

    `train.distribution` uses the same rules by itself; this is for
    `keras.distribution.ModelParallel` of one's own.

    Args:
        model: A `DecoderConfig`, or a model.
        mesh: A `keras.distribution.DeviceMesh` with the axes "batch" and
            "model", or "batch" alone for fully sharded variables.
        rules: Mesh axes by pattern (regular expression, searched in paths),
            which go before ours, as in `{"lora_a": (None, "model")}`.

    Returns:
        A `keras.distribution.LayoutMap` that knows every variable that is
        cut by its path.

    Raises:
        InputError: A pattern matches nothing, a large variable has no rule,
            or the mesh does not divide a size.

    Source: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053; Rajbhandari
    et al. 2019, https://arxiv.org/abs/1910.02054.

    Example:

    >>> import keras
    >>> config = DecoderConfig(vocabulary_size=8, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"),
    ...     ["cpu:0"])
    >>> layout_map(config, mesh)["token_embedding/embeddings"].axes
    ('model', None)
    """
    from keras.distribution import LayoutMap

    sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
    shapes, config = _shapes_and_config(model)
    if config is not None:
        check_heads(config, sizes)
    found = LayoutMap(mesh)
    own = dict(rules or {})
    for pattern in own:
        if not any(re.search(pattern, path) for path in shapes):
            raise InputError(
                "Expected patterns that match a variable. Received: "
                f"{pattern!r}, which matches none of {len(shapes)}, such as "
                f"{next(iter(shapes), 'no variable at all')}."
            )
    cut: dict[str, dict[str, Axes]] = {}
    for path, shape in shapes.items():
        match = next((p for p in own if re.search(p, path)), None)
        axes = own[match] if match else axes_of(path, shape, sizes)
        anywhere = re.sub(r"block_\d+", r"block_\\d+", path)
        cut.setdefault(anywhere, {})[path] = axes
    for anywhere, each in cut.items():
        alike = len(set(each.values())) == 1
        for path, axes in list(each.items())[: 1 if alike else None]:
            if any(axes):
                found[f"^{anywhere if alike else path}$"] = axes
    return found


def axes_of(
    path: str, shape: tuple[int, ...], sizes: Mapping[str, int]
) -> Axes:
    """Returns the mesh axis along which each axis of a variable is cut.

    Args:
        path: The variable's path.
        shape: Its shape.
        sizes: Devices along each axis of the mesh, by name.

    Raises:
        InputError: It is large and has no rule, or cannot be cut.

    Example:

    >>> sizes = {"batch": 2, "model": 4}
    >>> axes_of("block_0/attention/output/kernel", (64, 48), sizes)
    ('model', None)
    >>> axes_of("block_0/attention/output/kernel", (64, 48), {"batch": 8})
    ('batch', None)
    """
    whole: Axes = (None,) * len(shape)
    rule = next((r for r in RULES if _matches(r, path)), None)
    if rule is None:
        if _size(shape) < LARGE:
            return whole
        raise InputError(
            f"Expected a rule for each large variable. Received: {path} of "
            f"shape {shape}, which no rule of train.sharding knows. Add one, "
            'or train with "data_parallel".'
        )
    if not rule.axes or (MODEL not in sizes and len(shape) < 2):
        return whole
    return _cut(path, shape, rule, sizes)


def check_heads(config: DecoderConfig, sizes: Mapping[str, int]) -> None:
    """Refuses a config whose heads the mesh would cut through.

    Raises:
        InputError: The devices along "model" do not divide the heads.

    Example:

    >>> config = DecoderConfig(vocabulary_size=8, context_length=8,
    ...     num_layers=1, hidden_dim=12, num_heads=3)
    >>> check_heads(config, {"batch": 2, "model": 2})
    Traceback (most recent call last):
        ...
    keras_llm.errors.InputError: Expected num_heads to be a multiple of the \
2 devices along "model". Received: num_heads=3. Use another mesh, or "fsdp".
    """
    devices = sizes.get(MODEL, 1)
    if config.num_heads % devices:
        raise InputError(
            f"Expected num_heads to be a multiple of the {devices} devices "
            f'along "model". Received: num_heads={config.num_heads}. Use '
            'another mesh, or "fsdp".'
        )


def _cut(
    path: str, shape: tuple[int, ...], rule: Rule, sizes: Mapping[str, int]
) -> Axes:
    over = MODEL if MODEL in sizes else BATCH
    # Fully sharded, any axis will do; the rule's is as good as another.
    others = () if over == MODEL else range(len(shape))
    for axis in (*rule.axes, *others):
        if shape[axis] % sizes[over] == 0:
            axes: list[str | None] = [None] * len(shape)
            axes[axis] = over
            return tuple(axes)
    raise InputError(
        f"Expected {rule.size} to be a multiple of the {sizes[over]} devices "
        f'along "{over}". Received: {path} of shape {shape}. Use another '
        f"mesh, a config with another {rule.size}, or"
        ' "data_parallel".'
    )


def _matches(rule: Rule, path: str) -> bool:
    return re.search(rf"(^|/|_){rule.pattern}$", path) is not None


def _shapes_and_config(
    model: Any,
) -> tuple[dict[str, tuple[int, ...]], DecoderConfig | None]:
    if isinstance(model, DecoderConfig):
        return dict(parameter_shapes(model)), model
    shapes = {v.path: tuple(v.shape) for v in model.variables}
    return shapes, getattr(model, "config", None)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def cut_variables(variables: Any) -> Iterator[Any]:
    """Yields the variables that are cut over devices.

    Example:

    >>> list(cut_variables([]))
    []
    """
    for variable in variables:
        layout = getattr(variable, "_layout", None)
        if layout is not None and any(layout.axes):
            yield variable
