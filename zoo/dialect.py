"""Dialect: how another library's config says what a `DecoderConfig` says.

A key that no rule names, or that is not at a value known to be harmless, is
refused by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from keras_llm.config import LOCAL, DecoderConfig
from keras_llm.errors import InputError

REQUIRED: Any = object()


class ConfigRule(Protocol):
    """How some keys of a config.json become fields of a DecoderConfig."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that this rule understands."""
        ...

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields that these values mean."""
        ...

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys that say the same as the config."""
        ...


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key that is one field.

    Args:
        key: Their name.
        field: The field of `DecoderConfig`.
        default: What a missing key or null means; `REQUIRED` refuses it.
        values: Their value -> ours, where the words differ; a value that is
            not there is refused. Back, the first that fits is written.
        others: Other names of the key, in older or newer files.

    Example:

    >>> act = Setting("act", "mlp", "silu", {"silu": "swiglu"})
    >>> act.read({"act": "silu"})
    {'mlp': 'swiglu'}
    """

    key: str
    field: str
    default: Any = REQUIRED
    values: Mapping[Any, Any] | None = None
    others: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The key, by all its names."""
        return (self.key, *self.others)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field.

        Raises:
            InputError: The key is missing and required, has a value that is
                not understood, or two by different names.
        """
        given = [key for key in self.keys if values.get(key) is not None]
        value = values[given[0]] if given else self.default
        if any(values[key] != value for key in given):
            said = ", ".join(f"{key}={values[key]!r}" for key in given)
            raise InputError(
                f"Expected {' and '.join(given)} in config.json to be equal: "
                f"they are two names of one thing. Received: {said}."
            )
        if value is REQUIRED:
            raise InputError(
                f"Expected {self.key} in config.json. Received none."
            )
        if self.values is None:
            return {self.field: value}
        for theirs, ours in self.values.items():
            if value == theirs:
                return {self.field: ours}
        raise InputError(
            f"Expected {self.key} in config.json to be one of "
            f"{', '.join(map(repr, self.values))}. Received: {value!r}."
        )

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the key.

        Raises:
            InputError: The key has no value that means the same.
        """
        value = getattr(config, self.field)
        if self.values is None:
            return {self.key: value}
        for theirs, ours in self.values.items():
            if value == ours:
                return {self.key: theirs}
        raise InputError(
            f"Expected {self.field} to be one of "
            f"{', '.join(map(repr, self.values.values()))}, which {self.key} "
            f"in config.json can say. Received: {value!r}."
        )


YES_OR_NO = {True: True, False: False}


def meaning(config: DecoderConfig) -> dict[str, Any]:
    """Returns what a config says about the layers that it has.

    Two patterns may tile to the same layers, and a window may be of none.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2, pattern="GL", window=4)
    >>> meaning(config) == meaning(config.replace(pattern="G", window=None))
    True
    """
    values = {**config.to_dict(), "pattern": config.layer_kinds}
    if LOCAL not in config.layer_kinds:
        values["window"] = None
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one library says in its config what a `DecoderConfig` says.

    Args:
        name: What users type, for example "gpt2".
        constants: Fields of `DecoderConfig` that all its models share.
        rules: What understands the keys of its config.
        unused: Keys that change no logits.
        fixed: Keys that must have this value.

    Example:

    >>> dialect = Dialect(name="toy", constants={"num_heads": 2}, rules=(
    ...     Setting("vocabulary", "vocabulary_size"),
    ...     Setting("length", "context_length"),
    ...     Setting("depth", "num_layers"), Setting("width", "hidden_dim")))
    >>> config = dialect.read(
    ...     {"vocabulary": 9, "length": 8, "depth": 1, "width": 4})
    >>> config.hidden_dim, dialect.write(config)["depth"]
    (4, 1)
    """

    name: str
    constants: Mapping[str, Any]
    rules: tuple[ConfigRule, ...]
    unused: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def read(self, values: Mapping[str, Any]) -> DecoderConfig:
        """Returns the config that these values describe.

        Raises:
            InputError: A key is unknown, missing or at a value that this
                library cannot do; the message names it.
        """
        self._refuse_unknown(values)
        fields = dict(self.constants)
        for rule in self.rules:
            for field, value in rule.read(values).items():
                if fields.setdefault(field, value) != value:
                    raise InputError(self._disagreement(field, values))
        return DecoderConfig.from_dict(fields)

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns values that say the same; the inverse of `read`.

        Raises:
            InputError: This family cannot say what the config says.
        """
        values = dict(self._always)
        for rule in self.rules:
            values |= rule.write(config)
        ours, back = meaning(config), meaning(self.read(values))
        if lost := [name for name in ours if ours[name] != back[name]]:
            said = ", ".join(f"{name}={back[name]!r}" for name in lost)
            wanted = ", ".join(f"{name}={ours[name]!r}" for name in lost)
            raise InputError(
                f"Expected a config that the family {self.name!r} can "
                f"express: {said}. Received: {wanted}."
            )
        return values

    @property
    def _always(self) -> Mapping[str, Any]:
        """The keys that no rule writes."""
        return self.fixed

    @property
    def _fixed(self) -> Mapping[str, Any]:
        return self.fixed

    @property
    def _unused(self) -> tuple[str, ...]:
        return self.unused

    def _refuse_unknown(self, values: Mapping[str, Any]) -> None:
        known = {key for rule in self.rules for key in rule.keys}
        known |= {*self._unused}
        fixed = self._fixed
        refused = [
            f"{key}={value!r}"
            + (f" (only {fixed[key]!r} is understood)" if key in fixed else "")
            for key, value in values.items()
            if key not in known and not (key in fixed and fixed[key] == value)
        ]
        if refused:
            raise InputError(
                f"Expected a config.json of the family {self.name!r} with "
                "keys that keras_llm understands. Received: "
                f"{', '.join(refused)}. They may change what the model "
                "computes, so nothing was loaded. Remove a key only if you "
                "know that it does not."
            )

    def _disagreement(self, field: str, values: Mapping[str, Any]) -> str:
        keys = [
            key
            for rule in self.rules
            if field in rule.read(values)
            for key in rule.keys
        ]
        said = ", ".join(f"{key}={values.get(key)!r}" for key in keys)
        return (
            f"Expected {' and '.join(keys)} in config.json to agree, because "
            f"keras_llm has one setting for them, {field}. Received: {said}."
        )
