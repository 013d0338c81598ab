"""A tuning of seconds, and a process that is killed in it.

`python tests/tiny_tuning.py BASE OUT STEP` tunes the model in BASE and dies by
SIGKILL at the begin of step STEP.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

STEPS = 8
TRAINABLE = {"lora": {"rank": 2, "dropout": 0.1}, "neftune": 5.0}


def language_model(seed: int = 1, context_length: int = 48, **changes: Any):
    """A decoder of two blocks over bytes, always the same."""
    import keras
    from tuning_examples import BYTES

    from keras_llm import CausalLM, DecoderConfig, build_decoder

    keras.utils.set_random_seed(seed)
    config = DecoderConfig(
        vocabulary_size=BYTES.vocabulary_size,
        context_length=context_length,
        **{"num_layers": 2, "hidden_dim": 16, "num_heads": 2, **changes},
    )
    return CausalLM(build_decoder(config), BYTES)


def tune(lm: Any, out: Path | None, **changes: Any) -> Any:
    """Runs `tune.chat` with an adapter, dropout and noise."""
    from tuning_examples import conversations

    from keras_llm import tune as tuning

    talks = conversations(40)
    settings = {
        "steps": STEPS,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "log_every": 2,
        "validate_every": 4,
        "checkpoint_every": 4,
        "sample_every": 8,
        "samples": 0 if out is None else 1,
        "trainable": TRAINABLE,
        "validation": talks[30:],
    }
    return tuning.chat(lm, talks[:30], out=out, **{**settings, **changes})


def main(base: str, out: str, when: str) -> None:
    """Tunes until it is killed."""
    import keras

    from keras_llm import CausalLM

    class Killer(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.steps += 1
            if str(self.steps) == when:
                os.kill(os.getpid(), signal.SIGKILL)

    tune(
        CausalLM.load(base),
        Path(out),
        callbacks=[Killer()],
        save_in_background=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
