"""FLOPs of a decoder, counted product by product.

What is counted are matrix products, two FLOPs for each multiply and add, as
TensorFlow's profiler counts them; a test compares the two. Sums, activations
and normalizations take time, but hardly any FLOPs.
"""

import dataclasses
import math

from keras_llm.config import DecoderConfig
from keras_llm.estimate import count_parameters
from keras_llm.records import Record
from keras_llm.shapes import HEAD, POSITIONS, TABLE, parameter_shapes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flops(Record):
    """FLOPs of matrix products on one token, in the forward pass.

    Args:
        blocks: Of the projections in all blocks; of experts, those that a
            token goes through.
        attention: Of queries with keys, and of weights with values.
        head: Of the logits.

    Example:

    >>> Flops(blocks=2, attention=1, head=1).training()
    12
    """

    blocks: int
    attention: int
    head: int

    @property
    def forward(self) -> int:
        """All three."""
        return self.blocks + self.attention + self.head

    @property
    def backward(self) -> int:
        """Two products for each of the forward pass."""
        return 2 * self.forward

    def training(self, remat: bool = False) -> int:
        """Returns forward and backward; with `remat`, blocks forward twice."""
        again = self.blocks + self.attention if remat else 0
        return self.forward + self.backward + again


def flops(config: DecoderConfig, context: int | None = None) -> Flops:
    """Returns the FLOPs of a token within a row of `context` tokens.

    Every token counts its products with all positions of the row: also those
    that come later or lie outside of a window, which are computed and masked.

    Args:
        config: The decoder.
        context: Tokens in a row. Default: the context length.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> flops(config)
    Flops(blocks=3584, attention=256, head=144)
    """
    tables = (TABLE, HEAD, POSITIONS)
    shapes = parameter_shapes(config)
    kernels = sum(
        math.prod(shape)
        for path, shape in shapes.items()
        if len(shape) > 1 and path not in tables and not _is_bias(path)
    )
    idle = count_parameters(config).idle - _idle_biases(config)
    length = config.context_length if context is None else context
    width = config.num_heads * config.head_dim
    return Flops(
        blocks=2 * (kernels - idle),
        attention=4 * config.num_layers * length * width,
        head=2 * config.hidden_dim * config.vocabulary_size,
    )


def _is_bias(path: str) -> bool:
    return path.endswith("bias")


def _idle_biases(config: DecoderConfig) -> int:
    """Biases of experts that a token does not go through."""
    experts = config.experts
    if experts is None or config.bias != "all":
        return 0
    inner = experts.mlp_dim or config.mlp_dim
    each = (2 if config.gated else 1) * inner + config.hidden_dim
    return (experts.count - experts.top_k) * each * config.num_layers
