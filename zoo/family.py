"""Family: what sets one kind of published model apart, as data.

A family file lists its config keys, its constants, its weight names, its
tokenizer rule and its sizes. A key of a `config.json` that no list names, or
that is not at a value known to be harmless, is refused by name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras_llm.config import DecoderConfig
from keras_llm.errors import InputError
from keras_llm.weights import WeightTable
from keras_llm.zoo.dialect import YES_OR_NO, ConfigRule, Dialect, Setting

__all__ = [
    "YES_OR_NO",
    "ConfigRule",
    "Dialect",
    "Family",
    "Larger",
    "Setting",
    "Size",
    "TokenizerRule",
]

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerRule:
    """How a family's tokenizer differs from another one.

    Args:
        pattern: The split rule's name in `keras_llm.tokenizers`; None where
            texts are not split (SentencePiece).
        bos: The token that starts a text; None for none.
        eos: The token that ends a text.

    Example:

    >>> TokenizerRule(pattern="gpt2", bos=None, eos="<|end|>").eos
    '<|end|>'
    """

    pattern: str | None
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
class Larger(Dialect):
    """A model that also sees or hears, with a family's as its text part.

    Only that part is read, and what is saved is the part alone.

    Args:
        name: `model_type` in the larger model's config.json.
        unused, fixed: As in `Dialect`, of the larger model's other keys.
        key: Its key of the text part's config.
        defaults: What the text part's config may leave out.

    Example:

    >>> eyes = Larger(name="seer", key="text_config", unused=("eyes",))
    >>> eyes.part({"model_type": "seer", "eyes": 2, "text_config": {"a": 1}})
    {'a': 1}
    """

    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rules: tuple[ConfigRule, ...] = ()
    key: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def part(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the text part's config.json.

        Raises:
            InputError: A key is unknown, or the text part's is no object.
        """
        self._refuse_unknown(values)
        part = values[self.key]
        if not isinstance(part, dict):
            raise InputError(
                f"Expected {self.key} in config.json to be an object. "
                f"Received: {part!r}."
            )
        return {**self.defaults, **part}

    @property
    def _fixed(self) -> Mapping[str, Any]:
        return {**FIXED_EVERYWHERE, **self.fixed, "model_type": self.name}

    @property
    def _unused(self) -> tuple[str, ...]:
        return (*UNUSED_EVERYWHERE, *self.unused, self.key)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family(Dialect):
    """A kind of published model, in Hugging Face's form.

    Args:
        name, constants, rules: As in `Dialect`.
        model_type: `model_type` in its config.json.
        architecture: The class that `transformers` loads it with.
        weights: The names of its tensors.
        tokenizer: Its tokenizer rule.
        chat: Name of its chat template in `keras_llm.tokenizers.chat`, where
            a model's own files say nothing else; None for none.
        unused: Keys that change no logits, beside those of every family.
        fixed: Keys that must have this value, beside those of every family.
        presets: Published sizes by the names that users type.
        larger: A model whose text part is of this family; None for none.

    Example:

    >>> from keras_llm import zoo
    >>> llama = zoo.find_family("llama")
    >>> config = zoo.config("tiny")
    >>> llama.from_hugging_face(llama.to_hugging_face(config)) == config
    True
    """

    model_type: str
    architecture: str
    weights: WeightTable
    tokenizer: TokenizerRule
    chat: str | None = None
    presets: Mapping[str, Size] = dataclasses.field(default_factory=dict)
    larger: Larger | None = None

    def from_hugging_face(self, values: Mapping[str, Any]) -> DecoderConfig:
        """Returns the config that a Hugging Face config.json describes.

        Args:
            values: The content of the file.

        Raises:
            InputError: As in `read`.
        """
        if self.larger and self.larger.key in values:
            values = self.larger.part(values)
        return self.read(values)

    def to_hugging_face(self, config: DecoderConfig) -> dict[str, Any]:
        """Returns a config.json's content; the inverse of reading it.

        Raises:
            InputError: This family cannot say what the config says.
        """
        return self.write(config)

    @property
    def _always(self) -> Mapping[str, Any]:
        return {
            "architectures": [self.architecture],
            "model_type": self.model_type,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }

    @property
    def _fixed(self) -> Mapping[str, Any]:
        own = {"model_type": self.model_type}
        return {**FIXED_EVERYWHERE, **self.fixed, **own}

    @property
    def _unused(self) -> tuple[str, ...]:
        return (*UNUSED_EVERYWHERE, *self.unused)
