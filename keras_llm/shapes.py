"""The variables of a decoder as names and shapes, without building it.

One place says which config gives which variables; a test compares it with
decoders that were really built, and counts, estimates and plans follow.
"""

from keras_llm.config import DecoderConfig, Experts

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

TABLE, HEAD = (
    "token_embedding/embeddings",
    "token_embedding/reverse_embeddings",
)
POSITIONS = "position_embedding/embeddings"


def parameter_shapes(config: DecoderConfig) -> Shapes:
    """Returns every variable of the decoder: its path and its shape.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2, num_kv_heads=1)
    >>> parameter_shapes(config)["block_0/attention/key/kernel"]
    (8, 4)
    """
    vocabulary, hidden = config.vocabulary_size, config.hidden_dim
    shapes: Shapes = {TABLE: (vocabulary, hidden)}
    if not config.tie_embeddings:
        shapes[HEAD] = (hidden, vocabulary)
    if config.rope is None:
        shapes[POSITIONS] = (config.context_length, hidden)
    block = _block(config)
    for index in range(config.num_layers):
        for path, shape in block.items():
            shapes[f"block_{index}/{path}"] = shape
    return shapes | _norm(config, "final_norm", hidden)


def routed_shapes(config: DecoderConfig, experts: Experts) -> Shapes:
    """Returns the stacked variables of the experts that a router chooses.

    Example:

    >>> config = DecoderConfig(vocabulary_size=9, context_length=8,
    ...     num_layers=1, hidden_dim=8, num_heads=2, mlp_dim=16)
    >>> routed_shapes(config, Experts(count=4, top_k=2))["experts/down"]
    (4, 16, 8)
    """
    count, hidden = experts.count, config.hidden_dim
    inner = experts.mlp_dim or config.mlp_dim
    gate = {"gate": (hidden, inner)} if config.gated else {}
    parts = {**gate, "up": (hidden, inner), "down": (inner, hidden)}
    shapes: Shapes = {}
    for name, (inputs, outputs) in parts.items():
        shapes[f"experts/{name}"] = (count, inputs, outputs)
        if config.bias == "all":
            shapes[f"experts/{name}_bias"] = (count, outputs)
    return shapes


def _block(config: DecoderConfig) -> Shapes:
    shapes = _attention(config)
    if config.experts:
        shapes |= _experts(config, config.experts)
    else:
        shapes |= _mlp(config, "mlp", config.mlp_dim)
    before = ("attention_norm", "mlp_norm")
    after = ("attention_post_norm", "mlp_post_norm")
    used = {None: before, "sandwich": before + after, "only": after}
    for name in used[config.post_norm]:
        shapes |= _norm(config, name, config.hidden_dim)
    return shapes


def _attention(config: DecoderConfig) -> Shapes:
    hidden, dim = config.hidden_dim, config.head_dim
    width, kv_width = config.num_heads * dim, config.num_kv_heads * dim
    bias = config.bias != "none"
    shapes = {
        **_dense("attention/query", hidden, width, bias),
        **_dense("attention/key", hidden, kv_width, bias),
        **_dense("attention/value", hidden, kv_width, bias),
        **_dense("attention/output", width, hidden, config.bias == "all"),
    }
    if config.attention_sinks:
        shapes["attention/sinks"] = (config.num_heads,)
    if config.qk_norm:
        whole = config.qk_norm == "projection"
        for name, size in (("query", width), ("key", kv_width)):
            size = size if whole else dim
            shapes |= _norm(config, f"attention/{name}_norm", size)
    return shapes


def _experts(config: DecoderConfig, experts: Experts) -> Shapes:
    bias = experts.router_bias
    shapes = {
        **_dense("experts/router", config.hidden_dim, experts.count, bias),
        **routed_shapes(config, experts),
    }
    if experts.shared:
        inner = experts.shared * (experts.mlp_dim or config.mlp_dim)
        shapes |= _mlp(config, "experts/shared", inner)
    return shapes


def _mlp(config: DecoderConfig, name: str, inner: int) -> Shapes:
    hidden, bias = config.hidden_dim, config.bias == "all"
    gate = _dense(f"{name}/gate", hidden, inner, bias) if config.gated else {}
    up = _dense(f"{name}/up", hidden, inner, bias)
    return {**gate, **up, **_dense(f"{name}/down", inner, hidden, bias)}


def _dense(name: str, inputs: int, outputs: int, bias: bool) -> Shapes:
    kernel: Shapes = {f"{name}/kernel": (inputs, outputs)}
    return kernel | ({f"{name}/bias": (outputs,)} if bias else {})


def _norm(config: DecoderConfig, name: str, size: int) -> Shapes:
    weights = ("gamma", "beta") if config.norm == "layer" else ("scale",)
    return {f"{name}/{weight}": (size,) for weight in weights}
