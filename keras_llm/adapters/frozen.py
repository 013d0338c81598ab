"""Which weights of a model are trained."""

import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_llm.adapters.integers import IntegerKernel
from keras_llm.adapters.lora import LoraAdapter
from keras_llm.adapters.settings import ALL, compiled
from keras_llm.errors import InputError
from keras_llm.weights.table import listing

LAST = re.compile(r"last_(\d+)")
MARK = "_keras_llm_frozen"  # on variables that trained before


def freeze(
    model: keras.Model, all_but: str | tuple[str, ...] | list[str] | None
) -> int:
    """Lets some of a model's weights train and freezes the others.

    Weights that never train (integers, a normalization's averages) do not
    start to. Adapters are left as they are: `activate` is for them.

    Args:
        model: A built model; changed in place.
        all_but: What trains. "last_2": the last two blocks of a decoder, the
            final norm, and the head where it has weights of its own (a tied
            head is the token table, which the frozen blocks read, and stays
            frozen). Patterns: regular expressions for the ends of variables'
            paths, in whole parts ("bias", "block_3/.*"). "all": everything.
            None: nothing.

    Returns:
        How many parameters train now, adapters included.

    Raises:
        InputError: A pattern matches nothing, or the model has no such
            blocks.

    Example:

    >>> from keras_llm import DecoderConfig, build_decoder
    >>> model = build_decoder(DecoderConfig(vocabulary_size=9,
    ...     context_length=8, num_layers=2, hidden_dim=8, num_heads=2))
    >>> freeze(model, "last_1") < freeze(model, "all")
    True
    >>> freeze(model, ("attention_norm/scale",))
    16
    """
    variables = [
        variable
        for variable in base_variables(model)
        if variable.trainable or getattr(variable, MARK, False)
    ]
    kept = _kept([v.path for v in variables], all_but)
    for variable in variables:
        (_thaw if variable.path in kept else _freeze)(variable)
    return count(model.trainable_variables)


def count(variables: Any) -> int:
    """Returns how many numbers variables hold.

    Example:

    >>> count([keras.Variable([1.0, 2.0])])
    2
    """
    total = 0
    for variable in variables:
        size = 1
        for length in variable.shape:
            size *= length
        total += size
    return total


def trainable_share(model: keras.Model) -> str:
    """Returns how much of a model trains, as a sentence.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> trainable_share(model)
    '3 of 3 parameters train (100.00 %)'
    """
    some, every = count(model.trainable_variables), count(model.weights)
    share = 100 * some / max(every, 1)
    return f"{some:,} of {every:,} parameters train ({share:.2f} %)"


def base_variables(model: keras.Model) -> Iterator[Any]:
    """Yields a model's weights without those of adapters and integers.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> len(list(base_variables(model)))
    2
    """
    added = {
        id(variable)
        for layer in model._flatten_layers()
        if isinstance(layer, LoraAdapter | IntegerKernel)
        for variable in layer.variables
    }
    yield from (v for v in model.weights if id(v) not in added)


def freeze_base(model: keras.Model) -> None:
    """Freezes all weights but those of adapters.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> freeze_base(model)
    >>> len(model.trainable_variables)
    0
    """
    for variable in base_variables(model):
        if variable.trainable:
            _freeze(variable)


def thaw_base(model: keras.Model) -> None:
    """Has the weights train that were frozen here.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> freeze_base(model)
    >>> thaw_base(model)
    >>> len(model.trainable_variables)
    2
    """
    for variable in base_variables(model):
        if getattr(variable, MARK, False):
            _thaw(variable)


def _thaw(variable: Any) -> None:
    variable.trainable = True
    setattr(variable, MARK, False)


def _freeze(variable: Any) -> None:
    variable.trainable = False
    setattr(variable, MARK, True)


def _kept(paths: list[str], all_but: Any) -> set[str]:
    """The paths that train."""
    if all_but is None:
        return set()
    patterns = [all_but] if isinstance(all_but, str) else list(all_but)
    if patterns == ["all"] or patterns == [ALL]:
        return set(paths)
    kept = set()
    for pattern in patterns:
        last = LAST.fullmatch(pattern)
        found = (
            _last(paths, int(last[1]))
            if last
            else [path for path in paths if compiled(pattern).fullmatch(path)]
        )
        if not found:
            raise InputError(
                "Expected patterns that match paths of weights, or last_N. "
                f"Received: {pattern!r}, which matches none of: "
                f"{listing(paths, 12)}."
            )
        kept |= set(found)
    return kept


def _last(paths: list[str], number: int) -> list[str]:
    """The last blocks, the final norm and the head."""
    blocks = {
        int(found[1])
        for path in paths
        if (found := re.match(r"block_(\d+)/", path))
    }
    if not 1 <= number <= len(blocks):
        raise InputError(
            f"Expected last_N with N from 1 to {len(blocks)}, the blocks of "
            f"this model. Received: last_{number}. Other models are frozen "
            "by patterns of their weights' paths."
        )
    chosen = sorted(blocks)[-number:]
    starts = tuple(f"block_{index}/" for index in chosen)
    starts += ("final_norm/", "token_embedding/reverse_embeddings")
    return [path for path in paths if path.startswith(starts)]
