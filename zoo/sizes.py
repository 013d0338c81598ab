"""Our own sizes, for learning and for tests: what a laptop can train.

All have Llama's architecture with a tied head. Parameters with the default
vocabulary: tiny 1.3 million, mini 8 million, small 25 million.
"""

from keras_llm.config import DecoderConfig
from keras_llm.zoo.family import Size

_CONFIGS = {
    # Minutes on two cores.
    "tiny": DecoderConfig(
        vocabulary_size=4096,
        context_length=256,
        num_layers=4,
        hidden_dim=128,
        num_heads=4,
        num_kv_heads=2,
    ),
    # An hour on a laptop.
    "mini": DecoderConfig(
        vocabulary_size=8192,
        context_length=512,
        num_layers=8,
        hidden_dim=256,
        num_heads=8,
        num_kv_heads=4,
    ),
    # A night on a laptop.
    "small": DecoderConfig(
        vocabulary_size=16384,
        context_length=1024,
        num_layers=12,
        hidden_dim=384,
        num_heads=6,
        num_kv_heads=2,
    ),
}
PRESETS = {name: Size(config=config) for name, config in _CONFIGS.items()}
