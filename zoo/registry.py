"""All families and presets by name: a new family is one line here."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.zoo import sizes
from keras_llm.zoo.family import Family
from keras_llm.zoo.gpt2 import GPT2
from keras_llm.zoo.llama import LLAMA

FAMILIES: tuple[Family, ...] = (GPT2, LLAMA)

Thing = TypeVar("Thing")


def list_presets() -> tuple[str, ...]:
    """Returns the names that `preset` knows, our own sizes first.

    Example:

    >>> list_presets()[:3]
    ('tiny', 'mini', 'small')
    """
    return tuple(_presets())


def preset(name: str, **changes: Any) -> DecoderConfig:
    """Returns the config of a size by its name.

    Args:
        name: One of `list_presets()`.
        **changes: Fields of `DecoderConfig` to replace, for example
            `vocabulary_size` for a tokenizer of your own.

    Raises:
        InputError: No preset has this name, or a change does not fit.

    Example:

    >>> preset("mini", vocabulary_size=5000, context_length=128).hidden_dim
    256
    """
    return _pick(_presets(), name, "preset").replace(**changes)


def find_family(name: str) -> Family:
    """Returns the family of this name, which is also its `model_type`.

    Raises:
        InputError: No family has this name.

    Example:

    >>> find_family("gpt2").tokenizer.pattern
    'gpt2'
    """
    names = {key: f for f in FAMILIES for key in (f.model_type, f.name)}
    return _pick(names, name, "family")


def _presets() -> dict[str, DecoderConfig]:
    named = dict(sizes.PRESETS)
    for family in FAMILIES:
        named |= family.presets
    return named


def _pick(things: Mapping[str, Thing], name: Any, kind: str) -> Thing:
    if isinstance(name, str) and name in things:
        return things[name]
    near = difflib.get_close_matches(str(name), things)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise InputError(
        f"Expected a {kind} that keras_llm.zoo knows: {', '.join(things)}. "
        f"Received: {name!r}.{hint}"
    )
