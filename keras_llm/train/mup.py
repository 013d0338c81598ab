"""muP: a learning rate that is best for a narrow model stays best for a wide.

With m = hidden_dim / base_width, beside the standard parametrization:

    what                       first values   learning rate
    embeddings, norms, biases  as they are    as it is
    kernels between layers     / sqrt(m)      / m (Muon: / sqrt(m))
    routers of experts         / m            / m
    the final norm's scale     / m            / m

The last line is the multiplier 1/m on the output, folded into the norm before
the head: so tied and untied heads need no other rule, and a trained model is
an ordinary one for every export. Scores are scaled by 1 / head_dim instead of
its root where heads become wider (`base_head_dim`). Weight decay keeps the
unscaled rate. At m = 1 nothing changes.

Source: Yang et al. 2022, https://arxiv.org/abs/2203.03466, table 8; Muon's
rate from the spectral condition, https://arxiv.org/abs/2310.17813.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.layers import OffsetRMSNormalization
from keras_llm.model import Decoder, build_decoder
from keras_llm.train.optimizers import optimizer
from keras_llm.train.step import TokenTrainer
from keras_llm.train.updates import is_kernel

FINAL_NORM = "final_norm"


def build_mup(
    config: DecoderConfig,
    base_width: int,
    base_head_dim: int | None = None,
    **options: Any,
) -> Decoder:
    """Builds a decoder with the first values of muP, to be trained with it.

    Train it with `fit(..., parametrization="mup", base_width=base_width)`.
    Widths should grow in all parts alike: `mlp_dim` with `hidden_dim`, and
    either the number of heads (best) or `head_dim`.

    Args:
        config: What to build.
        base_width: `hidden_dim` of the model whose learning rate is known.
        base_head_dim: Its `head_dim`; None if the heads are as wide here.
        **options: Further arguments of `build_decoder`.

    Raises:
        InputError: A width is not above zero.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=32, num_heads=4)
    >>> model = build_mup(config, base_width=8)
    >>> float(model.get_layer("final_norm").scale[0])
    0.25
    """
    if base_head_dim is not None:
        scale = config.attention_scale or base_head_dim**-0.5
        scale *= base_head_dim / config.head_dim
        config = config.replace(attention_scale=scale)
    model = build_decoder(config, **options)
    ratio = _ratio(config, base_width)
    for variable in model.trainable_variables:
        variable.assign(variable * _first_value(variable, ratio))
    norm = model.get_layer(FINAL_NORM)
    if isinstance(norm, OffsetRMSNormalization):  # one is added to it
        norm.scale.assign(ops.full_like(norm.scale, 1 / ratio - 1))
    return model


def rate_scales(
    model: keras.Model, base_width: int, optimizer: str = "adamw"
) -> dict[str, float]:
    """Returns what the learning rate of each variable is multiplied by.

    Args:
        model: A decoder from `build_mup`.
        base_width: As there.
        optimizer: A name of `optimizers`; Muon's updates have another size.

    Returns:
        Factors by variable path, as `Updates` takes them; those that are 1
        are left out.

    Raises:
        InputError: The model has no config, or a width is not above zero.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=32, num_heads=4)
    >>> scales = rate_scales(build_mup(config, base_width=8), base_width=8)
    >>> scales["block_0/mlp/up/kernel"]
    0.25
    """
    config = getattr(model, "config", None)
    if not isinstance(config, DecoderConfig):
        raise InputError(
            "Expected a decoder from build_mup, whose config says its width. "
            f"Received: {type(model).__name__}."
        )
    ratio = _ratio(config, base_width)
    power = 0.5 if optimizer == "muon" else 1.0
    scales = {v.path: _rate(v, ratio, power) for v in model.trainable_variables}
    return {path: scale for path, scale in scales.items() if scale != 1.0}


def _ratio(config: DecoderConfig, base_width: int) -> float:
    if not base_width > 0:
        raise InputError(
            f"Expected base_width above zero. Received: {base_width!r}."
        )
    return config.hidden_dim / base_width


def _is_final_norm(variable: Any) -> bool:
    return FINAL_NORM in variable.path.split("/")


def _first_value(variable: Any, ratio: float) -> float:
    if _is_final_norm(variable) or "router" in variable.path:
        return 1 / ratio
    return ratio**-0.5 if is_kernel(variable) else 1.0


def _rate(variable: Any, ratio: float, power: float) -> float:
    if _is_final_norm(variable) or "router" in variable.path:
        return 1 / ratio
    return ratio**-power if is_kernel(variable) else 1.0


def coordinate_check(
    build: Callable[[int], Decoder],
    widths: Sequence[int],
    batches: Iterable[tuple],
    base_width: int | None = None,
    learning_rate: float = 1e-2,
    name: str = "adamw",
) -> dict[str, dict[int, list[float]]]:
    """Returns how far activations move in a few steps, by layer and width.

    Under muP the numbers of a layer are about the same at every width; under
    the standard parametrization they grow with it.

    Args:
        build: Returns a decoder of a width (`hidden_dim`).
        widths: Which ones.
        batches: A few batches `(inputs, targets, weights)`; the first one is
            also looked at.
        base_width: That of muP; None for the standard parametrization.
        learning_rate: The same for all widths, without a schedule.
        name: An optimizer.

    Returns:
        For each block and the logits, by width: root mean square of the
        change of the layer's output since the start, after each step.

    Source: Yang et al. 2022, https://arxiv.org/abs/2203.03466, appendix D.1.

    Example:

    >>> ids = np.zeros((1, 4), "int32")
    >>> inputs = {"tokens": ids, "positions": ids, "segments": ids + 1}
    >>> def build(width):
    ...     return build_decoder(DecoderConfig(vocabulary_size=9, mlp_dim=8,
    ...         context_length=4, num_layers=1, hidden_dim=width, num_heads=1))
    >>> weights = np.ones((1, 4), "float32")
    >>> found = coordinate_check(build, (8,), [(inputs, ids, weights)])
    >>> list(found), len(found["logits"][8])
    (['block_0', 'logits'], 1)
    """
    import tensorflow as tf

    batches = list(batches)
    stacked = keras.tree.map_structure(lambda *x: np.stack(x), *batches)
    found: dict[str, dict[int, list[float]]] = {}
    for width in widths:
        model = build(width)
        scales = rate_scales(model, base_width, name) if base_width else {}
        trainer = TokenTrainer(model)
        built = optimizer(
            name, learning_rate, weight_decay=0.0, rate_scales=scales
        )
        built.build(trainer.trainable_variables)
        trainer.compile(built)
        look = _Look(model, batches[0][0])
        data = tf.data.Dataset.from_tensor_slices(stacked)
        trainer.fit(
            data,
            epochs=len(batches),
            steps_per_epoch=1,
            callbacks=[look],
            shuffle=False,
            verbose=0,
        )
        for layer, moved in look.moved.items():
            found.setdefault(layer, {})[width] = moved
    return found


class _Look(keras.callbacks.Callback):
    """Keeps how far each layer's output has moved after every epoch."""

    def __init__(self, model: Decoder, inputs: Any):
        super().__init__()
        blocks = [f"block_{i}" for i in range(model.config.num_layers)]
        outputs = {name: model.get_layer(name).output for name in blocks}
        outputs["logits"] = model.output
        self.inner = keras.Model(model.input, outputs)
        self.inputs = inputs
        self.start = self.look()
        self.moved: dict[str, list[float]] = {name: [] for name in outputs}

    def look(self) -> dict[str, np.ndarray]:
        found = self.inner(self.inputs, training=False)
        return {
            name: ops.convert_to_numpy(value).astype("float32")
            for name, value in found.items()
        }

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, output in self.look().items():
            change = np.square(output - self.start[name])
            self.moved[name].append(float(np.sqrt(np.mean(change))))


def plot_coordinate_check(
    found: dict[str, dict[int, list[float]]],
    path: str | os.PathLike,
    title: str = "Coordinate check",
) -> None:
    """Draws the result of `coordinate_check`: a panel a step, a line a layer.

    Flat lines are what muP promises.

    Args:
        found: From `coordinate_check`.
        path: The PNG file to write.
        title: Over the picture.

    Raises:
        InputError: matplotlib is missing.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "check.png"
    >>> plot_coordinate_check({"logits": {32: [0.1], 64: [0.1]}}, path)
    >>> path.read_bytes()[1:4]
    b'PNG'
    """
    steps = len(next(iter(next(iter(found.values())).values())))
    figure = new_figure(3 * steps + 1, 3.5)
    panels = figure.subplots(1, steps, sharey=True, squeeze=False)[0]
    for step, axes in enumerate(panels):
        for layer, sizes in found.items():
            values = [size[step] for size in sizes.values()]
            axes.loglog(list(sizes), values, marker="o", label=layer, base=2)
        axes.set(title=f"after step {step + 1}", xlabel="width")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("change of the output (RMS)")
    panels[-1].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
