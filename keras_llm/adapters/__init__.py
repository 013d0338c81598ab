"""Adapters: small trained matrices on the layers of a frozen model."""

from keras_llm.adapters.attach import (
    activate,
    active,
    adapter_names,
    adapter_off,
    attach,
    compiled_key,
    detach,
    is_merged,
    lora_of,
    merge,
    unmerge,
)
from keras_llm.adapters.copies import merged_copy
from keras_llm.adapters.frozen import freeze, trainable_share
from keras_llm.adapters.quantized import kernel_bytes, quantize_base
from keras_llm.adapters.settings import Lora
from keras_llm.adapters.state import AdapterState, restore, state_of

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
    "freeze",
    "is_merged",
    "kernel_bytes",
    "lora_of",
    "merge",
    "merged_copy",
    "quantize_base",
    "restore",
    "state_of",
    "trainable_share",
    "unmerge",
]
