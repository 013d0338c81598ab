"""Rotary positions in a config.json, in the two forms that exist."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig, Rope
from keras_llm.errors import InputError

_ORIGINAL = ("original_max_position_embeddings", "original_context")

# Kind of scaling -> their key -> our field.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        _ORIGINAL[0]: _ORIGINAL[1],
        "low_freq_factor": "low_frequency",
        "high_freq_factor": "high_frequency",
    },
    "yarn": {
        "factor": "factor",
        _ORIGINAL[0]: _ORIGINAL[1],
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    },
}
REQUIRED = frozenset({"factor", "low_freq_factor", "high_freq_factor"})
FIXED = {"partial_rotary_factor": 1, "truncate": True}


@dataclasses.dataclass(frozen=True)
class RopeRule:
    """`rope_theta` with `rope_scaling`, or `rope_parameters` alone.

    Until version 4, `transformers` wrote the first form; 5 writes the second
    and reads both. The first is what is written here: everything reads it.

    Args:
        theta: The base when no key says it.
        context_key: The key of the context length, which stands for the
            original context length where that is not given.

    Source: `modeling_rope_utils.py` of `transformers` 5.23.

    Example:

    >>> RopeRule().read({"rope_parameters": {"rope_type": "linear",
    ...     "rope_theta": 500.0, "factor": 2.0}})["rope"].factor
    2.0
    """

    theta: float = 10000.0
    context_key: str = "max_position_embeddings"

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of both forms."""
        return ("rope_theta", "rope_scaling", "rope_parameters")

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `rope`.

        Raises:
            InputError: The two forms contradict each other, or a key or a
                kind of scaling is not understood.
        """
        given = _merged(values)
        kind = _kind(given)
        theta = given.pop("rope_theta", self.theta)
        names = FIELDS[kind]
        if _ORIGINAL[0] in names:
            given.setdefault(_ORIGINAL[0], values.get(self.context_key))
        refused = [
            f"{key}={value!r}"
            for key, value in given.items()
            if key not in names and (key not in FIXED or FIXED[key] != value)
        ]
        missing = sorted(REQUIRED & set(names) - set(given))
        if refused or missing:
            raise InputError(
                f"Expected rotary positions of the kind {kind!r} to be set by "
                f"{', '.join(('rope_theta', *names))}. Received in "
                f"config.json: {', '.join(refused) or 'nothing else'}; "
                f"missing: {', '.join(missing) or 'nothing'}."
            )
        fields = {names[key]: given[key] for key in names if key in given}
        scaling = None if kind == "default" else kind
        return {"rope": Rope(theta=theta, scaling=scaling, **fields)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns `rope_theta` and `rope_scaling`.

        Raises:
            InputError: The config has no rotary positions.
        """
        rope = config.rope
        if rope is None:
            raise InputError(
                "Expected rotary positions, which this family always has. "
                "Received: rope=None."
            )
        scaling = {
            theirs: getattr(rope, ours)
            for theirs, ours in FIELDS[rope.scaling or "default"].items()
            if getattr(rope, ours) is not None
        }
        if rope.scaling:
            scaling = {"rope_type": rope.scaling, **scaling}
        return {"rope_theta": rope.theta, "rope_scaling": scaling or None}


def _merged(values: Mapping[str, Any]) -> dict[str, Any]:
    """One dictionary from both forms; null means not given."""
    merged: dict[str, Any] = {}
    forms = ("rope_parameters", "rope_scaling")
    for form in (*forms, "rope_theta"):
        part = values.get(form)
        if form in forms and not isinstance(part, dict | None):
            raise InputError(
                f"Expected {form} in config.json to be an object or null. "
                f"Received: {part!r}."
            )
        part = part if form in forms else {"rope_theta": part}
        for key, value in (part or {}).items():
            if value is not None and merged.setdefault(key, value) != value:
                raise InputError(
                    f"Expected one value of {key} in config.json. Received: "
                    f"{merged[key]!r} and {value!r}. Keep the right one."
                )
    return merged


def _kind(given: dict[str, Any]) -> str:
    """Takes the kind of scaling out; older files call it `type`."""
    kinds = {given.pop(key, None) for key in ("rope_type", "type")} - {None}
    kind = kinds.pop() if kinds else "default"
    if kinds or kind not in FIELDS:
        raise InputError(
            "Expected rope_type in config.json to be one of "
            f"{', '.join(FIELDS)}. Received: {', '.join((kind, *kinds))}."
        )
    return kind
