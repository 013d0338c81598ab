"""Generation speed beside KerasHub's GPT-2 of the same dimensions.

    python benchmarks/generation.py [--json PATH] [--rounds 5]

Both continue the same prompt of 64 tokens greedily by 96 tokens, compiled and
warm, in one process and alternately, for one row and for eight. KerasHub
(`pip install keras-hub`) is left out with a note where it is missing.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import _pairs
import numpy as np

SIZE = dict(
    vocabulary_size=8192,
    num_layers=6,
    num_heads=6,
    hidden_dim=384,
)
CONTEXT, PROMPT, NEW = 512, 64, 96


def ours():
    """Returns a function of the number of rows."""
    from keras_llm import DecoderConfig, GenerationSettings, build_decoder
    from keras_llm.generate import TokenGenerator

    config = DecoderConfig(
        **SIZE,
        context_length=CONTEXT,
        norm="layer",
        mlp="gelu",
        bias="all",
        rope=None,
    )
    generator = TokenGenerator(build_decoder(config))
    settings = GenerationSettings(max_new_tokens=NEW)

    def run(rows: int) -> None:
        found = generator.generate([[1] * PROMPT] * rows, settings)
        if [len(row) for row in found] != [NEW] * rows:
            raise RuntimeError("A row is shorter than asked for.")

    return run


def keras_hub(jit: bool):
    """Returns a function of the number of rows, or None without KerasHub."""
    try:
        import keras_hub
    except ImportError:
        return None
    model = keras_hub.models.GPT2CausalLM(
        keras_hub.models.GPT2Backbone(
            **SIZE, intermediate_dim=4 * SIZE["hidden_dim"],
            max_sequence_length=CONTEXT, dropout=0.0,
        )
    )  # fmt: skip
    model.compile(sampler="greedy", jit_compile=jit)

    def run(rows: int) -> None:
        shape = (rows, PROMPT + NEW)
        mask = np.arange(PROMPT + NEW)[None] < PROMPT
        model.generate(
            {
                "token_ids": np.ones(shape, "int32"),
                "padding_mask": np.tile(mask, (rows, 1)).astype("int32"),
            },
            stop_token_ids=None,
        )

    return run


def main() -> None:
    """Runs and prints the comparisons."""
    options = _pairs.arguments(__doc__).parse_args()
    runs = {
        "keras_llm": ours(),
        "KerasHub": keras_hub(jit=False),
        "KerasHub, XLA": keras_hub(jit=True),
    }
    results = {}
    for rows in (1, 8):
        present = {
            name: lambda run=run, rows=rows: run(rows)
            for name, run in runs.items()
            if run is not None
        }
        title = f"{rows} x ({PROMPT} + {NEW}) tokens, greedy"
        results[title] = _pairs.compare(
            present, options.rounds, rows * NEW, "tokens"
        )
        _pairs.show(title, results[title])
    if len(present) < len(runs):
        print("KerasHub is not installed: pip install keras-hub")
    _pairs.write(options.json, results)


if __name__ == "__main__":
    main()
