"""The same GPT-2 in our, Keras', KerasHub's and PyTorch's training steps."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

RATE, CLIP, DECAY = 1e-3, 1.0, 0.1


class Size(NamedTuple):
    """A decoder of GPT-2's form and its batch."""

    layers: int
    width: int
    heads: int
    rows: int
    time: int = 256
    vocabulary: int = 8192


SIZES = {
    "narrow": Size(layers=4, width=128, heads=4, rows=8),
    "base": Size(layers=4, width=256, heads=4, rows=8),
    "wide": Size(layers=6, width=512, heads=8, rows=4),
}


def batches(steps: int, size: Size = SIZES["base"]) -> Any:
    """Returns endless batches of random packed rows, two documents a row."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    count, time = steps * size.rows, size.time
    tokens = random.integers(
        0, size.vocabulary, (count, time + 1), dtype="int32"
    )
    half = np.arange(time, dtype="int32") % (time // 2)
    inputs = {
        "tokens": tokens[:, :-1],
        "positions": np.tile(half, (count, 1)),
        "segments": np.tile(1 + np.arange(time) // (time // 2), (count, 1)),
    }
    inputs["segments"] = inputs["segments"].astype("int32")
    weights = np.ones((count, time), "float32")
    data = tf.data.Dataset.from_tensor_slices((inputs, tokens[:, 1:], weights))
    return data.batch(size.rows, drop_remainder=True).repeat().prefetch(2)


def our_decoder(size: Size, precision: str, remat: bool = False) -> Any:
    """Returns our decoder in GPT-2's form."""
    from keras_llm.config import DecoderConfig
    from keras_llm.model import build_decoder

    config = DecoderConfig(
        vocabulary_size=size.vocabulary,
        context_length=size.time,
        num_layers=size.layers,
        hidden_dim=size.width,
        num_heads=size.heads,
        norm="layer",
        mlp="gelu",
        bias="all",
        rope=None,
    )
    return build_decoder(config, dtype=precision, remat=remat)


def fitted(model: Any, data: Any, steps: int) -> Callable[[], Any]:
    """Returns a run of `fit`."""
    return lambda: model.fit(
        data, steps_per_epoch=steps, shuffle=False, verbose=0
    )


def ours(
    size: Size, precision: str, data: Any, steps: int
) -> Callable[[], Any]:
    """Our step under `fit`."""
    return fitted(trainer(our_decoder(size, precision)), data, steps)


def trainer(
    model: Any,
    state_dtype: str = "float32",
    compiled: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Returns our compiled trainer."""
    from keras_llm.train import AdamW, TokenTrainer, WarmupCosine

    step = TokenTrainer(model, clip_norm=CLIP, **options)
    rate = WarmupCosine(RATE, total_steps=10_000)
    optimizer = AdamW(rate, weight_decay=DECAY, state_dtype=state_dtype)
    step.compile(optimizer, **(compiled or {}))
    return step


def alone(
    size: Size, precision: str, data: Any, steps: int
) -> Callable[[], Any]:
    """Our step in a loop of its own: what `fit` adds is the difference."""
    import tensorflow as tf

    model = trainer(our_decoder(size, precision))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step, autograph=False)

    def run() -> float:
        for batch in data.take(steps):
            logs = step(batch)
        return float(logs["loss"])

    return run


def stock(
    size: Size, precision: str, data: Any, steps: int
) -> Callable[[], Any]:
    """Our decoder under Keras' own step, loss and optimizer."""
    model = our_decoder(size, precision)
    compile_stock(model, jit=False)
    return fitted(model, data, steps)


def compile_stock(model: Any, jit: bool) -> None:
    """Compiles as Keras' guides do."""
    import keras

    model.compile(
        keras.optimizers.AdamW(RATE, weight_decay=DECAY, global_clipnorm=CLIP),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )


def keras_hub_fit(
    size: Size, precision: str, data: Any, steps: int, jit: bool = False
) -> Callable[[], Any]:
    """KerasHub's GPT-2."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=size.vocabulary,
        num_layers=size.layers,
        num_heads=size.heads,
        hidden_dim=size.width,
        intermediate_dim=4 * size.width,
        dropout=0.0,
        max_sequence_length=size.time,
        dtype=precision,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    compile_stock(model, jit)
    renamed = data.map(
        lambda inputs, targets, weights: (
            {"token_ids": inputs["tokens"], "padding_mask": inputs["segments"]},
            targets,
            weights,
        )
    )
    return fitted(model, renamed, steps)


def torch_step(
    size: Size, precision: str, data: Any, steps: int, compiled: bool = False
) -> Callable[[], Any]:
    """A nanoGPT-style step in PyTorch."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = torch_gpt(size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, weight_decay=DECAY, fused=True
    )
    kept = [
        (torch.tensor(inputs["tokens"]), torch.tensor(targets).long())
        for inputs, targets, _ in data.take(steps).as_numpy_iterator()
    ]
    forward: Any = torch.compile(model) if compiled else model

    def run() -> float:
        for tokens, targets in kept:
            with torch.autocast(
                "cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"
            ):
                loss = forward(tokens, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        return loss.item()

    return run


def torch_gpt(size: Size) -> Any:
    """Returns GPT-2 with its loss in PyTorch modules."""
    import torch
    from torch import nn

    width, heads = size.width, size.heads

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width),
                nn.GELU(approximate="tanh"),
                nn.Linear(4 * width, width),
            )

        def forward(self, x: Any) -> Any:
            shape = (*x.shape[:2], heads, width // heads)
            q, k, v = (
                part.view(shape).transpose(1, 2)
                for part in self.qkv(self.norms[0](x)).chunk(3, -1)
            )
            mixed = nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True
            )
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.mlp(self.norms[1](x))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(size.vocabulary, width)
            self.positions = nn.Embedding(size.time, width)
            for table in (self.tokens, self.positions):
                nn.init.normal_(table.weight, std=0.02)
            self.blocks = nn.Sequential(*(Block() for _ in range(size.layers)))
            self.norm = nn.LayerNorm(width)

        def forward(self, ids: Any, targets: Any) -> Any:
            positions = torch.arange(ids.shape[1])
            x = self.blocks(self.tokens(ids) + self.positions(positions))
            logits = self.norm(x) @ self.tokens.weight.T
            return nn.functional.cross_entropy(
                logits.view(-1, size.vocabulary), targets.view(-1)
            )

    return Decoder()
