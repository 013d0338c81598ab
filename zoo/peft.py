"""Adapters in the format of the library `peft`, both ways.

Names come from the family's name table. Where theirs is one matrix and ours
are several (GPT-2's `c_attn`, Phi-3's `qkv_proj`), one adapter there is
several here that start with the same A; ours with different A become one of a
higher rank there, which does the same.

Source: https://github.com/huggingface/peft, `LoraConfig` and
`get_peft_model_state_dict` of version 0.21.
"""

import os
from typing import TYPE_CHECKING

from keras_llm.zoo.family import Family
from keras_llm.zoo.registry import find_family

if TYPE_CHECKING:
    from keras_llm.model import Decoder


def save_peft(
    model: "Decoder",
    folder: str | os.PathLike,
    family: Family | str,
    name: str = "default",
    base: str | None = None,
) -> None:
    """Writes one adapter as `peft` loads it, whole or not at all.

    Args:
        model: A decoder with this adapter.
        folder: A new or empty folder, or an earlier adapter, which is
            replaced as a whole.
        family: The family of the model, or its name: it names the tensors.
        name: Name of the adapter.
        base: Where the base is: a folder or a repository on the hub.

    Raises:
        InputError: There is no such adapter, the family cannot express the
            model, or the folder has other files.
        OSError: The disk is full or not writable.

    Example:

    >>> import tempfile
    >>> from keras_llm import build_decoder, zoo
    >>> from keras_llm.adapters import attach
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> folder = tempfile.mkdtemp()
    >>> _ = attach(model)
    >>> save_peft(model, folder, "llama")
    >>> load_peft(model, folder, "llama", "again")
    >>> sorted(os.listdir(folder))
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    from keras_llm.zoo.peft_tensors import write

    named = find_family(family) if isinstance(family, str) else family
    write(model, folder, named, name, base)


def load_peft(
    model: "Decoder",
    folder: str | os.PathLike,
    family: Family | str,
    name: str = "default",
) -> None:
    """Puts an adapter that `peft` wrote on a decoder, and switches it on.

    All is checked first: after an error the model is what it was. Where the
    file has several ranks, the smaller ones are filled up with zeros. The
    file does not say which weights its base has: load the right one.

    Args:
        model: The decoder, from `zoo.load` or `zoo.load_hugging_face`.
        folder: Holds adapter_config.json and adapter_model.safetensors.
        family: The family of the model, or its name.
        name: What to call it on this model.

    Raises:
        InputError: A file is missing or damaged; the adapter is no LoRA or
            has what is not read here; a tensor is missing, unknown or of
            another shape; the model has an adapter of this name.

    Example:

    >>> import tempfile
    >>> from keras_llm import build_decoder, zoo
    >>> from keras_llm.adapters import adapter_names, attach
    >>> model = build_decoder(zoo.config("tiny", vocabulary_size=300))
    >>> folder = tempfile.mkdtemp()
    >>> _ = attach(model)
    >>> save_peft(model, folder, "llama")
    >>> load_peft(model, folder, "llama", "again")
    >>> adapter_names(model)
    ['default', 'again']
    """
    from keras_llm.zoo.peft_tensors import read

    named = find_family(family) if isinstance(family, str) else family
    read(model, folder, named, name)
