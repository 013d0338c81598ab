"""Sampling: what each setting makes of the next token's probabilities."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_llm.errors import InputError
from keras_llm.figures import new_figure
from keras_llm.sampling import (
    GenerationSettings,
    controls_for,
    filter_sorted,
    penalize,
)
from keras_llm.visualize.observing import read_text, token_label
from keras_llm.visualize.palette import COLOURS, drawable


class SamplingStage(NamedTuple):
    """The probabilities after one of the settings.

    Attributes:
        name: The setting, such as "top-k 5"; the first is "model".
        probabilities: float32 `(vocabulary,)`; their sum is 1.

    Example:

    >>> SamplingStage("model", np.array([0.5, 0.5])).name
    'model'
    """

    name: str
    probabilities: np.ndarray


def sampling_stages(
    model: Any,
    settings: GenerationSettings,
    prompt: Any = None,
    tokenizer: Any = None,
) -> list[SamplingStage]:
    """Returns the next token's probabilities after each setting, in order.

    The order is that of generation, whose functions are called: repetition
    penalty, temperature, top-k, top-p, min-p. Only what the settings change
    is a stage; temperature 0 is the stage "greedy", the last.

    Args:
        model: A `CausalLM`, a Keras model from tokens to logits, or the
            logits of the next token `(vocabulary,)`.
        settings: How text is continued.
        prompt: A text or ids; what the model continues, and what the penalty
            holds for. With logits only the ids count.
        tokenizer: Of a Keras model, for a prompt that is a text.

    Raises:
        InputError: A model has no prompt of at least two tokens, or logits
            have another shape.

    Example:

    >>> stages = sampling_stages(np.array([2.0, 1.0, 0.0]),
    ...     GenerationSettings(temperature=1.0, top_k=2))
    >>> [(one.name, int((one.probabilities > 0).sum())) for one in stages]
    [('model', 3), ('top-k 2', 2)]
    """
    logits, seen = _next_logits(model, prompt, tokenizer)
    stages = [SamplingStage("model", _softmax(logits))]
    if settings.penalizes:
        penalty = np.array([settings.repetition_penalty], "float32")
        logits = np.asarray(penalize(logits[None], seen[None], penalty))[0]
        name = f"repetition penalty {settings.repetition_penalty:g}"
        stages.append(SamplingStage(name, _softmax(logits)))
    if not settings.samples:
        best = np.arange(len(logits)) == logits.argmax()
        return [*stages, SamplingStage("greedy", best.astype("float32"))]
    logits = logits / np.float32(max(settings.temperature, 1e-6))
    if settings.temperature != 1.0:
        name = f"temperature {settings.temperature:g}"
        stages.append(SamplingStage(name, _softmax(logits)))
    return [*stages, *_filtered(logits, settings)]


def sampling_figure(
    model: Any,
    settings: GenerationSettings,
    prompt: Any = None,
    tokenizer: Any = None,
    count: int = 15,
) -> Any:
    """Draws the next token's probabilities before and after each setting.

    Args:
        model, settings, prompt, tokenizer: As for `sampling_stages`; the
            tokenizer names the tokens of logits, too.
        count: How many of the model's likeliest tokens to show.

    Returns:
        A `matplotlib.figure.Figure`, a panel for each stage. A cross is a
        token that can no longer be drawn.

    Raises:
        InputError: As for `sampling_stages`; matplotlib is missing.

    Example:

    >>> figure = sampling_figure(np.array([2.0, 1.0, 0.0]),
    ...     GenerationSettings(temperature=1.0, top_k=2))
    >>> [axes.get_title() for axes in figure.axes]
    ['model\\n3 tokens', 'top-k 2\\n2 tokens']
    """
    stages = sampling_stages(model, settings, prompt, tokenizer)
    known = getattr(model, "tokenizer", tokenizer)
    order = np.argsort(-stages[0].probabilities, kind="stable")[:count]
    labels = [drawable(token_label(int(one), known))[:16] for one in order]
    figure = new_figure(2.1 * len(stages) + 1.2, 0.22 * len(order) + 1.2)
    panels = figure.subplots(1, len(stages), sharex=True, sharey=True)
    for axes, stage in zip(np.ravel(panels), stages, strict=True):
        shares = stage.probabilities[order]
        bars = axes.barh(range(len(order)), shares, color=COLOURS[0])
        words = [f"{share:.1%}" if share else "×" for share in shares]
        axes.bar_label(bars, words, padding=2, fontsize=7)
        left = int((stage.probabilities > 0).sum())
        tokens = f"{left:,} token{'' if left == 1 else 's'}"
        axes.set_title(f"{stage.name}\n{tokens}", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    highest = max(stage.probabilities.max() for stage in stages)
    first = np.ravel(panels)[0]
    first.locator_params(axis="x", nbins=2)
    first.set(xlim=(0, 1.3 * highest), ylim=(len(order) - 0.4, -0.6))
    first.set_yticks(range(len(order)), labels, family="monospace", fontsize=8)
    figure.supxlabel("probability", fontsize=9)
    return figure


def _next_logits(
    model: Any, prompt: Any, tokenizer: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the next token, and which ids the row holds."""
    if hasattr(model, "model") or isinstance(model, keras.Model):
        if prompt is None:
            raise InputError(
                "Expected a prompt for the model to continue. Received: none."
            )
        decoder, ids, _ = read_text(model, prompt, tokenizer)
        whole = decoder(np.array([ids], "int32"))
        logits = ops.convert_to_numpy(ops.cast(whole, "float32"))[0, -1]
    else:
        logits, ids = np.asarray(model, "float32"), prompt
        if logits.ndim != 1 or not logits.size or isinstance(ids, str):
            raise InputError(
                "Expected a model, or logits (vocabulary,) with ids as the "
                f"prompt. Received: an array of shape {logits.shape} and "
                f"the prompt {ids!r:.40}."
            )
    held = np.asarray([] if ids is None else ids, "int64")
    return logits, np.isin(np.arange(len(logits)), held)


def _filtered(
    logits: np.ndarray, settings: GenerationSettings
) -> list[SamplingStage]:
    """One stage for each filter, on top of those before."""
    order = np.argsort(-logits, kind="stable")
    filters = {"top_k": "top-k", "top_p": "top-p", "min_p": "min-p"}
    chosen: dict[str, Any] = {"temperature": 1.0}
    stages = []
    for name, words in filters.items():
        value = getattr(settings, name)
        if value == getattr(GenerationSettings, name):
            continue
        chosen[name] = value
        controls = controls_for(GenerationSettings(**chosen), 1)
        left = np.asarray(filter_sorted(logits[order][None], controls))[0]
        probabilities = np.zeros_like(logits)
        probabilities[order] = left / left.sum()
        stages.append(SamplingStage(f"{words} {value:g}", probabilities))
    return stages


def _softmax(logits: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(ops.softmax(logits))
