"""The zoo: families of published models and sizes of our own, as data.

One file a family: its config keys, weight names, tokenizer rule and sizes.
"""

from keras_llm.zoo.family import Family, Setting, Size, TokenizerRule
from keras_llm.zoo.folder import (
    load_hugging_face,
    read_config,
    save_hugging_face,
)
from keras_llm.zoo.hub_models import (
    from_keras_hub,
    save_keras_hub,
    to_keras_hub,
)
from keras_llm.zoo.loading import load
from keras_llm.zoo.peft import load_peft, save_peft
from keras_llm.zoo.registry import (
    config,
    families,
    find_family,
    find_size,
    list,
    register,
)
from keras_llm.zoo.rope import RopeRule

__all__ = [
    "Family",
    "RopeRule",
    "Setting",
    "Size",
    "TokenizerRule",
    "config",
    "families",
    "find_family",
    "find_size",
    "from_keras_hub",
    "list",
    "load",
    "load_hugging_face",
    "load_peft",
    "read_config",
    "register",
    "save_hugging_face",
    "save_keras_hub",
    "save_peft",
    "to_keras_hub",
]
