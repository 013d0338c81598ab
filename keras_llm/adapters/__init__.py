"""Adapters: small trained matrices on the layers of a frozen model."""

from keras_llm.adapters.attach import activate, attach, detach
from keras_llm.adapters.copies import float32_copy, merged_copy
from keras_llm.adapters.files import load_adapter, save_adapter
from keras_llm.adapters.frozen import freeze, trainable_share
from keras_llm.adapters.layers import (
    active,
    adapter_names,
    compiled_key,
    is_merged,
    lora_of,
)
from keras_llm.adapters.merging import adapter_off, merge, unmerge
from keras_llm.adapters.noise import neftune
from keras_llm.adapters.quantized import kernel_bytes, quantize_base
from keras_llm.adapters.settings import Lora
from keras_llm.adapters.state import AdapterState, restore, state_of
from keras_llm.adapters.tensors import version

__all__ = [
    "AdapterState",
    "Lora",
    "activate",
    "active",
    "adapter_names",
    "adapter_off",
    "attach",
    "compiled_key",
    "detach",
    "float32_copy",
    "freeze",
    "is_merged",
    "kernel_bytes",
    "load_adapter",
    "lora_of",
    "merge",
    "merged_copy",
    "neftune",
    "quantize_base",
    "restore",
    "save_adapter",
    "state_of",
    "trainable_share",
    "unmerge",
    "version",
]
