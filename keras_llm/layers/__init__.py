"""Public Keras layers of the decoder; each can be used alone.

RMSNormalization, ReversibleEmbedding and Dense come from Keras itself.
"""

from keras_llm.layers.attend import attend
from keras_llm.layers.attention import GroupedQueryAttention
from keras_llm.layers.block import Block
from keras_llm.layers.cache import (
    Overwriting,
    new_cache,
    scatter,
    slice_write,
)
from keras_llm.layers.dispatch import dispatch, dispatch_by
from keras_llm.layers.dropout import Dropout, next_seeds, rows_from
from keras_llm.layers.embedding import Positions, lookup
from keras_llm.layers.experts import MixtureOfExperts
from keras_llm.layers.fused import (
    fused_attention,
    has_device,
    has_fused_attention,
)
from keras_llm.layers.mask import CausalMask, visibility
from keras_llm.layers.mlp import MLP
from keras_llm.layers.noise import EmbeddingNoise
from keras_llm.layers.norm import (
    OffsetRMSNormalization,
    gain,
    normalization,
)
from keras_llm.layers.rope import (
    RotaryEmbedding,
    rotary_amplitude,
    rotary_frequencies,
    rotary_layers,
    rotate,
)
from keras_llm.layers.router import Router, watch_experts

__all__ = [
    "Block",
    "CausalMask",
    "Dropout",
    "EmbeddingNoise",
    "GroupedQueryAttention",
    "MLP",
    "MixtureOfExperts",
    "OffsetRMSNormalization",
    "Overwriting",
    "Positions",
    "RotaryEmbedding",
    "Router",
    "attend",
    "dispatch",
    "dispatch_by",
    "fused_attention",
    "gain",
    "has_device",
    "has_fused_attention",
    "lookup",
    "new_cache",
    "next_seeds",
    "normalization",
    "rotary_amplitude",
    "rotary_frequencies",
    "rotary_layers",
    "rotate",
    "rows_from",
    "scatter",
    "slice_write",
    "visibility",
    "watch_experts",
]
