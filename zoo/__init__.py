"""The zoo: families of published models and sizes of our own, as data.

One file a family: its config keys, weight names, tokenizer rule and sizes.
"""

from keras_llm.zoo.family import Family, Setting, TokenizerRule
from keras_llm.zoo.folder import load_hugging_face, save_hugging_face
from keras_llm.zoo.registry import FAMILIES, find_family, list_presets, preset
from keras_llm.zoo.rope import RopeRule

__all__ = [
    "FAMILIES",
    "Family",
    "RopeRule",
    "Setting",
    "TokenizerRule",
    "find_family",
    "list_presets",
    "load_hugging_face",
    "preset",
    "save_hugging_face",
]
