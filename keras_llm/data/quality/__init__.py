"""Quality of texts: published rules, languages, block-lists, a model.

Every step judges documents one by one, so shards may be worked on apart;
`keep_percentiles` compares them first.
"""

from keras_llm.data.quality.blocked import blocked_terms
from keras_llm.data.quality.c4 import c4_paragraphs, c4_quality
from keras_llm.data.quality.fineweb import fineweb_quality
from keras_llm.data.quality.gopher import gopher_quality
from keras_llm.data.quality.language_id import language
from keras_llm.data.quality.percentiles import keep_percentiles
from keras_llm.data.quality.recipes import recipe
from keras_llm.data.quality.repetition import gopher_repetition
from keras_llm.data.quality.scored import quality_score
from keras_llm.data.quality.trained import QualityModel

__all__ = [
    "QualityModel",
    "blocked_terms",
    "c4_paragraphs",
    "c4_quality",
    "fineweb_quality",
    "gopher_quality",
    "gopher_repetition",
    "keep_percentiles",
    "language",
    "quality_score",
    "recipe",
]
