"""Family: what sets one kind of published model apart, as data.

A family file lists its config keys, its constants, its weight names, its
tokenizer rule and its sizes. A key of a `config.json` that no list names, or
that is not at a value known to be harmless, is refused by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.weights import WeightTable

REQUIRED: Any = object()

# Keys that any model's config.json may have and that change no logits.
UNUSED_EVERYWHERE = (
    *("_name_or_path", "architectures", "dtype", "torch_dtype"),
    *("transformers_version", "use_cache", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
    *("id2label", "label2id", "problem_type", "task_specific_params"),
    "transformers.js_config",
    *("output_attentions", "output_hidden_states", "return_dict"),
)
FIXED_EVERYWHERE = {
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
}


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

    Example:

    >>> act = Setting("act", "mlp", "silu", {"silu": "swiglu"})
    >>> act.read({"act": "silu"})
    {'mlp': 'swiglu'}
    """

    key: str
    field: str
    default: Any = REQUIRED
    values: Mapping[Any, Any] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The one key."""
        return (self.key,)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the field.

        Raises:
            InputError: The key is missing and required, or has a value that
                is not understood.
        """
        value = values.get(self.key)
        value = self.default if value is None else value
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerRule:
    """How a family's tokenizer differs from another one.

    Args:
        pattern: The split rule's name in `keras_llm.tokenizers`.
        bos: The token that starts a text; None for none.
        eos: The token that ends a text.

    Example:

    >>> TokenizerRule(pattern="gpt2", bos=None, eos="<|end|>").eos
    '<|end|>'
    """

    pattern: str
    bos: str | None
    eos: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A preset: one published size, or one of our own.

    Args:
        config: Its architecture.
        repo: Where its weights are on the Hugging Face hub; None: nowhere.
        license: The licence of the weights; None where there are none.
        chat: Name of its chat template; None for a base model.

    Example:

    >>> from keras_llm import zoo
    >>> zoo.find_family("gpt2").presets["gpt2-xl"].repo
    'openai-community/gpt2-xl'
    """

    config: DecoderConfig
    repo: str | None = None
    license: str | None = None
    chat: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of published model.

    Args:
        name: What users type, for example "gpt2".
        model_type: `model_type` in its config.json.
        architecture: The class that `transformers` loads it with.
        constants: Fields of `DecoderConfig` that all its models share.
        rules: What understands the keys of its config.json.
        weights: The names of its tensors.
        tokenizer: Its tokenizer rule.
        chat: Name of its chat template in `keras_llm.tokenizers.chat`, where
            a model's own files say nothing else; None for none.
        unused: Keys that change no logits, beside those of every family.
        fixed: Keys that must have this value, beside those of every family.
        presets: Published sizes by the names that users type.

    Example:

    >>> from keras_llm import zoo
    >>> llama = zoo.find_family("llama")
    >>> config = zoo.config("tiny")
    >>> llama.from_hugging_face(llama.to_hugging_face(config)) == config
    True
    """

    name: str
    model_type: str
    architecture: str
    constants: Mapping[str, Any]
    rules: tuple[ConfigRule, ...]
    weights: WeightTable
    tokenizer: TokenizerRule
    chat: str | None = None
    unused: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    presets: Mapping[str, Size] = dataclasses.field(default_factory=dict)

    def from_hugging_face(self, values: Mapping[str, Any]) -> DecoderConfig:
        """Returns the config that a Hugging Face config.json describes.

        Args:
            values: The content of the file.

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

    def to_hugging_face(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns a config.json's content; the inverse of reading it.

        Raises:
            InputError: This family cannot say what the config says.
        """
        values = {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }
        for rule in self.rules:
            values |= rule.write(config)
        ours, back = config.to_dict(), self.from_hugging_face(values).to_dict()
        if lost := [name for name in ours if ours[name] != back[name]]:
            said = ", ".join(f"{name}={back[name]!r}" for name in lost)
            wanted = ", ".join(f"{name}={ours[name]!r}" for name in lost)
            raise InputError(
                f"Expected a config that the family {self.name!r} can "
                f"express: {said}. Received: {wanted}."
            )
        return values

    def _refuse_unknown(self, values: Mapping[str, Any]) -> None:
        fixed = {
            **FIXED_EVERYWHERE,
            **self.fixed,
            "model_type": self.model_type,
        }
        known = {key for rule in self.rules for key in rule.keys}
        known |= {*UNUSED_EVERYWHERE, *self.unused}
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
