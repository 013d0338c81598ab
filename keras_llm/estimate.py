"""What a config costs before anything is built: parameters, memory, FLOPs.

All numbers follow from `shapes.parameter_shapes`, which names every variable
of a decoder. Sizes are bytes. Nothing here needs Keras, so that
`keras-llm info` answers at once.
"""

import dataclasses
import math

from keras_llm.config import LOCAL, DecoderConfig
from keras_llm.errors import InputError, check_choice
from keras_llm.records import Record
from keras_llm.shapes import Shape, parameter_shapes, routed_shapes

BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "int8": 8, "int4": 4}
"""Precision of weights -> bits of one value."""
INT4_GROUP = 128  # inputs that share a scale, as in `keras.Model.quantize`
FLOAT, ZERO_POINT = 4, 1  # bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameters(Record):
    """How many parameters a decoder has, and where.

    Args:
        embedding: Of the token table.
        positions: Of a learned position table; 0 with rotary positions.
        blocks: Of all blocks, with every expert.
        final_norm: Of the last normalization.
        head: Of the output projection; 0 when it is the token table.
        idle: Of the experts that a token does not go through.

    Example:

    >>> count_parameters(DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)).total
    1888
    """

    embedding: int
    positions: int
    blocks: int
    final_norm: int
    head: int
    idle: int = 0

    @property
    def total(self) -> int:
        """All parameters; a tied head is counted once."""
        tables = self.embedding + self.positions + self.head
        return tables + self.blocks + self.final_norm

    @property
    def active(self) -> int:
        """Parameters that one token uses: all but the idle experts."""
        return self.total - self.idle

    @property
    def multiplied(self) -> int:
        """Active parameters without the tables that are only looked up."""
        looked_up = self.positions + (self.embedding if self.head else 0)
        return self.active - looked_up


def count_parameters(config: DecoderConfig) -> Parameters:
    """Counts the parameters without building anything.

    Example:

    >>> config = DecoderConfig(vocabulary_size=50257, context_length=1024,
    ...     num_layers=12, hidden_dim=768, num_heads=12, norm="layer",
    ...     mlp="gelu", bias="all", rope=None)
    >>> count_parameters(config).total  # GPT-2
    124439808
    """
    shapes = parameter_shapes(config)
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}

    def part(*starts: str) -> int:
        return sum(n for path, n in sizes.items() if path.startswith(starts))

    idle = 0
    if experts := config.experts:
        routed = sum(map(math.prod, routed_shapes(config, experts).values()))
        unused = experts.count - experts.top_k
        idle = routed // experts.count * unused * config.num_layers
    return Parameters(
        embedding=part("token_embedding/embeddings"),
        positions=part("position_embedding/"),
        blocks=part("block_"),
        final_norm=part("final_norm/"),
        head=part("token_embedding/reverse_embeddings"),
        idle=idle,
    )


def weight_bytes(config: DecoderConfig, precision: str = "float32") -> int:
    """Returns the memory that the weights take at a precision.

    In "int8" a matrix has one float32 scale for each output channel (for
    each row of a table); in "int4" a scale and a zero point of one byte for
    each 128 inputs. Vectors (biases, normalizations) stay float32.

    Args:
        config: The decoder.
        precision: "float32", "bfloat16", "float16", "int8" or "int4".

    Raises:
        InputError: No such precision.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2)
    >>> weight_bytes(config, "bfloat16") / count_parameters(config).total
    2.0
    """
    check_choice("precision", precision, tuple(BITS))
    shapes = parameter_shapes(config)
    return sum(_stored(path, s, precision) for path, s in shapes.items())


def kv_cache_bytes(
    config: DecoderConfig,
    tokens: int,
    dtype: str = "bfloat16",
    rolling: bool = False,
) -> int:
    """Returns the memory of the key-value cache of one sequence.

    The cache of this library (`layers.new_cache`) has a slot for every
    position in every layer, also where a layer sees only a window.

    Args:
        config: The decoder.
        tokens: Positions to hold, prompt and answer together.
        dtype: What keys and values are kept in.
        rolling: What a cache would take that keeps, in a layer with a window,
            only that window. Default: False, as it is.

    Raises:
        InputError: `tokens` is negative, or no such dtype.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=64,
    ...     num_layers=4, hidden_dim=8, num_heads=2, pattern="LG", window=16)
    >>> kv_cache_bytes(config, 32), kv_cache_bytes(config, 32, rolling=True)
    (4096, 3072)
    """
    check_choice("dtype", dtype, tuple(BITS))
    if tokens < 0:
        raise InputError(f"Expected tokens of at least 0. Received: {tokens}.")
    slots = sum(
        min(tokens, config.window or tokens)
        if rolling and kind == LOCAL
        else tokens
        for kind in config.layer_kinds
    )
    values = 2 * slots * config.num_kv_heads * config.head_dim
    return values * BITS[dtype] // 8


def flops_per_token(config: DecoderConfig, context: int) -> int:
    """Returns the FLOPs of the forward pass on one token.

    Two for each active parameter that multiplies, and attention over the
    whole context: `4 * layers * context * heads * head_dim`. Training costs
    three times as much.

    Args:
        config: The decoder.
        context: Tokens that the token attends to.

    Source: Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311,
    appendix B.

    Example:

    >>> flops_per_token(DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2), context=8)
    4032
    """
    width = config.num_heads * config.head_dim
    attention = 4 * config.num_layers * context * width
    return 2 * count_parameters(config).multiplied + attention


def _stored(path: str, shape: Shape, precision: str) -> int:
    """Bytes of one variable with what its quantization adds."""
    size, bits = math.prod(shape), BITS[precision]
    if bits >= 16:
        return size * bits // 8
    if len(shape) == 1 or path.endswith("bias"):
        return size * FLOAT
    inputs = shape[-1] if path.endswith("embeddings") else shape[-2]
    channels = size // inputs
    if precision == "int8":
        return size + channels * FLOAT
    groups = channels * -(-inputs // INT4_GROUP)
    return size // 2 + groups * (FLOAT + ZERO_POINT)
