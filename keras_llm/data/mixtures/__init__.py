"""Mixtures: packed rows of several sources, weighted, in one computed order."""

from keras_llm.data.mixtures.interleave import Interleave
from keras_llm.data.mixtures.mixed_rows import Mixture
from keras_llm.data.mixtures.mixing import mix
from keras_llm.data.mixtures.plan import MixturePlan, Source
from keras_llm.data.mixtures.scores import row_scores
from keras_llm.data.mixtures.splitting import by_language, pack_parts
from keras_llm.data.mixtures.weights import (
    capped_tokens,
    temperature_weights,
    weight_schedule,
)

__all__ = [
    "Interleave",
    "Mixture",
    "MixturePlan",
    "Source",
    "by_language",
    "capped_tokens",
    "mix",
    "pack_parts",
    "row_scores",
    "temperature_weights",
    "weight_schedule",
]
