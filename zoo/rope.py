"""Rotary positions in a config.json, in all the forms that exist."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig, Rope
from keras_llm.errors import InputError

_ORIGINAL = "original_max_position_embeddings"
_FRACTION = "partial_rotary_factor"
_FACTOR = {"factor": "factor", _ORIGINAL: "original_context"}

# Kind of scaling -> their key -> our field.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        **_FACTOR,
        "low_freq_factor": "low_frequency",
        "high_freq_factor": "high_frequency",
    },
    "yarn": {
        **_FACTOR,
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
        "truncate": "truncate",
    },
    "longrope": {
        **_FACTOR,
        "short_factor": "short_factors",
        "long_factor": "long_factors",
        "attention_factor": "attention_factor",
    },
}
OLDER_NAMES = {"su": "longrope"}
REQUIRED = frozenset(
    {
        *("factor", "low_freq_factor", "high_freq_factor"),
        *("short_factor", "long_factor"),
    }
)
FORMS = ("rope_parameters", "rope_scaling")
NESTED = ("full_attention", "sliding_attention")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RopeRule:
    """`rope_theta` with `rope_scaling`, or `rope_parameters` alone.

    Until version 4, `transformers` wrote the first form; 5 writes the second
    and reads both. The first is what is written here: everything reads it.
    Null means not given. For "longrope" a missing `factor` is the context
    length divided by the original one, and is then not written either.

    Args:
        theta: The base when no key says it.
        context_key: The key of the context length, which stands for the
            original context length where that is not given.
        theta_key: The key of the base.
        fraction: The share of turning channels when no key says it.
        fraction_key: The key of that share; None where all channels turn.
        original_key: The key of the original context length outside of
            `rope_scaling` (Phi-3); None for inside.
        original: That length where `original_key` is missing.
        local_theta: The base of local layers when no key says it, for
            families where it differs (Gemma 3); None: one base for all.
        kind_key: What the kind of scaling is called when written. Phi-3's
            readers before version 5 know only the older "type".
        kinds: The kinds of scaling that the family's other readers know.
        scaling: What stands for `rope_scaling` where none is given.

    Source: `modeling_rope_utils.py` of `transformers` 5.23.

    Example:

    >>> RopeRule().read({"rope_parameters": {"rope_type": "linear",
    ...     "rope_theta": 500.0, "factor": 2.0}})["rope"].factor
    2.0
    """

    theta: float = 10000.0
    context_key: str = "max_position_embeddings"
    theta_key: str = "rope_theta"
    fraction: float = 1.0
    fraction_key: str | None = None
    original_key: str | None = None
    original: int | None = None
    local_theta: float | None = None
    kind_key: str = "rope_type"
    kinds: tuple[str, ...] = tuple(FIELDS)
    scaling: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all forms."""
        optional = (self.fraction_key, self.original_key, self._local_key)
        return (self.theta_key, *FORMS, *(key for key in optional if key))

    @property
    def _local_key(self) -> str | None:
        return "rope_local_base_freq" if self.local_theta else None

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field `rope`.

        Raises:
            InputError: The forms contradict each other, or a key or a kind
                of scaling is not understood.
        """
        nested, old = (_object(values, form) for form in FORMS)
        theta = values.get(self.theta_key)
        if self.local_theta is None:
            return {"rope": self._read(values, (nested, old), theta)}
        _refuse_flat(nested)
        full, sliding = ((nested or {}).get(kind) for kind in NESTED)
        rope = self._read(values, (full, old), theta)
        plain = dataclasses.replace(
            self, theta=self.local_theta, kinds=("default",), scaling={}
        )
        theta = values.get(self._local_key or "")
        local = plain._read(values, (sliding,), theta)
        return {"rope": dataclasses.replace(rope, local_theta=local.theta)}

    def write(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns the keys, in the first form.

        Raises:
            InputError: The config has no rotary positions, or a kind of
                scaling that other readers of this family do not know.
        """
        rope = config.rope
        if rope is None:
            raise InputError(
                "Expected rotary positions, which this family always has. "
                "Received: rope=None."
            )
        kind = self._known(rope.scaling or "default")
        scaling = {
            theirs: [*value] if isinstance(value, tuple) else value
            for theirs, ours in FIELDS[kind].items()
            if (value := getattr(rope, ours)) is not None
        }
        if "long_factor" in scaling and rope.original_context:
            if rope.factor == config.context_length / rope.original_context:
                del scaling["factor"]
        values: dict[str, Any] = {self.theta_key: rope.theta}
        if self.fraction_key:
            values[self.fraction_key] = rope.fraction
        if self.original_key:
            original = scaling.pop(_ORIGINAL, config.context_length)
            values[self.original_key] = original
        if self._local_key:
            values[self._local_key] = rope.local_theta
        if rope.scaling:
            scaling = {self.kind_key: kind, **scaling}
        return {**values, "rope_scaling": scaling or None}

    def _read(
        self,
        values: Mapping[str, Any],
        forms: tuple[Mapping[str, Any] | None, ...],
        theta: float | None,
    ) -> Rope:
        """One set of rotary positions."""
        parts = [form for form in forms if form] or [self.scaling]
        given = _merged(*parts, {"rope_theta": theta})
        kind = self._known(_kind(given))
        names = FIELDS[kind]
        fields = {"theta": given.pop("rope_theta", self.theta)}
        fields["fraction"] = self._fraction(values, given)
        if _ORIGINAL in names:
            outer = values.get(self.original_key or "", self.original)
            given = _merged(given, {_ORIGINAL: outer})
            given.setdefault(_ORIGINAL, values.get(self.context_key))
        if kind == "longrope" and "factor" not in given:
            given |= _ratio(values.get(self.context_key), given[_ORIGINAL])
        _refuse_unknown(kind, given)
        fields |= {names[key]: value for key, value in given.items()}
        return Rope(scaling=None if kind == "default" else kind, **fields)

    def _fraction(
        self, values: Mapping[str, Any], given: dict[str, Any]
    ) -> float:
        """Takes the share of turning channels out, if it may be less."""
        if self.fraction_key is None:
            if given.get(_FRACTION) == 1:
                del given[_FRACTION]
            return self.fraction
        inner = {_FRACTION: given.pop(_FRACTION, None)}
        both = _merged(inner, {_FRACTION: values.get(self.fraction_key)})
        return both.get(_FRACTION, self.fraction)

    def _known(self, kind: str) -> str:
        if kind not in self.kinds:
            raise InputError(
                f"Expected rotary positions of the kind "
                f"{' or '.join(self.kinds)} in this family's config.json. "
                f"Received: {kind}."
            )
        return kind


def _object(values: Mapping[str, Any], form: str) -> dict[str, Any] | None:
    part = values.get(form)
    if not isinstance(part, dict | None):
        raise InputError(
            f"Expected {form} in config.json to be an object or null. "
            f"Received: {part!r}."
        )
    return part


def _merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """One dictionary of all parts; null means not given."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if value is not None and merged.setdefault(key, value) != value:
                raise InputError(
                    f"Expected one value of {key} in config.json. Received: "
                    f"{merged[key]!r} and {value!r}. Keep the right one."
                )
    return merged


def _kind(given: dict[str, Any]) -> str:
    """Takes the kind of scaling out; older files call it `type`."""
    keys = [key for key in ("rope_type", "type") if key in given]
    said = [str(given.pop(key)) for key in keys]
    kinds = {OLDER_NAMES.get(kind, kind) for kind in said}
    kind = kinds.pop() if kinds else "default"
    if kinds or kind not in FIELDS:
        raise InputError(
            "Expected rope_type in config.json to be one of "
            f"{', '.join(FIELDS)}. Received: {', '.join((kind, *kinds))}."
        )
    return kind


def _ratio(context: Any, original: Any) -> dict[str, float]:
    """The factor that two lengths mean; nothing if they are no lengths."""
    if isinstance(context, int) and isinstance(original, int) and original > 0:
        return {"factor": context / original}
    return {}


def _refuse_unknown(kind: str, given: Mapping[str, Any]) -> None:
    names = FIELDS[kind]
    refused = [f"{k}={v!r}" for k, v in given.items() if k not in names]
    missing = sorted(REQUIRED & set(names) - set(given))
    if refused or missing:
        raise InputError(
            f"Expected rotary positions of the kind {kind!r} to be set by "
            f"{', '.join(('rope_theta', *names))}. Received in "
            f"config.json: {', '.join(refused) or 'nothing else'}; "
            f"missing: {', '.join(missing) or 'nothing'}."
        )


def _refuse_flat(nested: Mapping[str, Any] | None) -> None:
    given = nested or {}
    unknown = [f"{k}={v!r}" for k, v in given.items() if k not in NESTED]
    if unknown:
        raise InputError(
            f"Expected rope_parameters in config.json to have "
            f"{' and '.join(NESTED)}, one for each kind of layer. "
            f"Received: {', '.join(unknown)}."
        )
