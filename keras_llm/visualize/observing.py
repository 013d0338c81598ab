"""What the layers of a model were given and what they gave."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras

from keras_llm.errors import InputError


class Call(NamedTuple):
    """One call of a layer.

    Attributes:
        args: What it was given by place.
        kwargs: What it was given by name.
        output: What it gave.

    Example:

    >>> Call((1,), {}, 2).output
    2
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


def observe(
    model: keras.Model, inputs: Any, layers: Iterable[keras.layers.Layer]
) -> tuple[Any, dict[str, Call]]:
    """Runs a model once and notes what some of its layers did.

    The layers may stand anywhere in it, within other layers too. The model
    runs eagerly and is left as it was.

    Args:
        model: Any Keras model.
        inputs: What it is called on.
        layers: The layers to note.

    Returns:
        The model's output, and the last call of each layer by the layer's
        path. A layer that was not called is missing.

    Example:

    >>> dense = keras.layers.Dense(2, name="half")
    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, dense(inputs))
    >>> output, calls = observe(model, keras.ops.ones((1, 3)), [dense])
    >>> calls["half"].output.shape
    TensorShape([1, 2])
    """
    calls: dict[str, Call] = {}
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_noting(layer, calls))
        output = model(inputs)
    return output, calls


@contextlib.contextmanager
def _noting(
    layer: keras.layers.Layer, calls: dict[str, Call]
) -> Iterator[None]:
    """While it lasts, the layer's calls are noted."""
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        calls[layer.path] = Call(args, kwargs, output)
        return output

    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")


def all_layers(model: keras.Model, kinds: tuple) -> list[keras.layers.Layer]:
    """Returns the layers of some kinds, wherever in the model, in order.

    Example:

    >>> inputs = keras.Input((3,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    >>> len(all_layers(model, (keras.layers.Dense,)))
    1
    """
    # Keras lists the inner layers of a layer in its own order, which is the
    # order they were made in, and names no order for the layers of a block.
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, kinds)
    ]


def read_text(
    model: Any, text: Any, tokenizer: Any = None
) -> tuple[keras.Model, list[int], list[str]]:
    """Returns the Keras model, the ids of one text and a label for each.

    Args:
        model: A Keras model from tokens to logits, or a `CausalLM`.
        text: A string, or the ids of one text.
        tokenizer: Of a Keras model; None numbers the tokens.

    Raises:
        InputError: A text without a tokenizer, or without two tokens.

    Example:

    >>> inputs = keras.Input((None,))
    >>> read_text(keras.Model(inputs, inputs), [3, 4])[2]
    ['3', '4']
    """
    lm, ids = model, text
    if not isinstance(model, keras.Model):
        model, tokenizer = lm.model, lm.tokenizer
        ids = lm.encode_prompt(text) if isinstance(text, str) else text
    elif isinstance(text, str):
        if tokenizer is None:
            raise InputError(
                "Expected a tokenizer to read a text with. Received: none. "
                "Pass tokenizer=..., or ids instead of the text."
            )
        ids = tokenizer.encode(text, disallowed_special=())
    ids = [int(number) for number in ids]
    if len(ids) < 2:
        raise InputError(
            "Expected a text of at least two tokens. Received: "
            f"{len(ids)}. Pass a longer text."
        )
    return model, ids, [token_label(one, tokenizer) for one in ids]


def token_label(number: int, tokenizer: Any = None) -> str:
    """Returns a token as a reader sees it: spaces and line ends are drawn.

    Args:
        number: Its id.
        tokenizer: None gives the number.

    Example:

    >>> token_label(7)
    '7'
    """
    if tokenizer is None or not tokenizer.has_token(number):
        return str(number)  # many models have more ids than tokens
    return bytes_label(tokenizer.token_bytes(number)) or str(number)


def bytes_label(data: bytes) -> str:
    r"""Returns bytes as a reader sees them: what is no letter is drawn.

    Example:

    >>> bytes_label(b" a\n\xe2")
    '·a⏎\\xe2'
    """
    text = data.decode("utf-8", errors="backslashreplace")
    for character, shown in ((" ", "·"), ("\n", "⏎"), ("\t", "⇥")):
        text = text.replace(character, shown)
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text
    )
