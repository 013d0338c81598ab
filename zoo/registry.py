"""All families and presets by name: found in the files of this folder."""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, TypeVar

import keras_llm.zoo
from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.zoo import sizes
from keras_llm.zoo.family import Family, Size

Thing = TypeVar("Thing")
_registered: dict[str, Family] = {}

HEAVY = ("peft_config", "peft_tensors")  # no families, and import Keras


def families() -> tuple[Family, ...]:
    """Returns every family: those in this folder and those registered.

    A new file in `zoo/` with a `Family` in it needs no other line anywhere.

    Example:

    >>> "gpt2" in [family.name for family in families()]
    True
    """
    return (*_found(), *_registered.values())


def register(family: Family) -> None:
    """Adds a family of your own for this process; the name must be free.

    Raises:
        InputError: Another family has this name or model_type.

    Example:

    >>> import dataclasses
    >>> llama = find_family("llama")
    >>> register(dataclasses.replace(
    ...     llama, name="camel", model_type="camel", presets={}))
    >>> find_family("camel").rules == llama.rules
    True
    """
    taken = {n for f in families() for n in (f.name, f.model_type)}
    if family.name in taken or family.model_type in taken:
        raise InputError(
            "Expected a family with a name and model_type of its own. "
            f"Received: name={family.name!r}, model_type="
            f"{family.model_type!r}; taken: {', '.join(sorted(taken))}."
        )
    _registered[family.name] = family


def list() -> tuple[str, ...]:
    """Returns the names that `config` knows, our own sizes first.

    Example:

    >>> list()[:3]
    ('tiny', 'mini', 'small')
    """
    return tuple(_sizes())


def config(name: str, **changes: Any) -> DecoderConfig:
    """Returns the config of a preset by its name.

    Args:
        name: One of `zoo.list()`.
        **changes: Fields of `DecoderConfig` to replace, for example
            `vocabulary_size` for a tokenizer of your own.

    Raises:
        InputError: No preset has this name, or a change does not fit.

    Example:

    >>> config("mini", vocabulary_size=5000, context_length=128).hidden_dim
    256
    """
    return find_size(name).config.replace(**changes)


def find_size(name: str) -> Size:
    """Returns the preset of this name: its config, repository and licence.

    Raises:
        InputError: No preset has this name.

    Example:

    >>> find_size("gpt2").repo
    'openai-community/gpt2'
    """
    return _pick(_sizes(), name, "preset")


def find_family(name: str) -> Family:
    """Returns the family of this name or `model_type`.

    Raises:
        InputError: No family has this name.

    Example:

    >>> find_family("gpt2").tokenizer.pattern
    'gpt2'
    """
    names = {f.larger.name: f for f in families() if f.larger}
    names |= {key: f for f in families() for key in (f.model_type, f.name)}
    return _pick(names, name, "family")


@functools.cache
def _found() -> tuple[Family, ...]:
    """The families in this folder, by name."""
    found = {}
    for module in pkgutil.iter_modules(keras_llm.zoo.__path__):
        if module.ispkg or module.name in HEAVY:
            continue
        content = importlib.import_module(f"keras_llm.zoo.{module.name}")
        for value in vars(content).values():
            if isinstance(value, Family):
                found[value.name] = value
    return tuple(found[name] for name in sorted(found))


def _sizes() -> dict[str, Size]:
    named = dict(sizes.PRESETS)
    for family in families():
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
