"""Domain tuning: a language model reads the texts of a field."""

from collections.abc import Iterable, Sequence
from typing import Any

from keras_llm.errors import InputError
from keras_llm.evaluate import bits_per_byte
from keras_llm.tune.distill import Distillation, check_teacher
from keras_llm.tune.kept import TuneReport
from keras_llm.tune.run import tune_on
from keras_llm.tune.text_rows import mix, text_rows_of


def text(
    lm: Any,
    texts: Iterable[str],
    *,
    validation: Sequence[str] = (),
    replay: Iterable[str] = (),
    replay_share: float = 0.1,
    general: Sequence[str] = (),
    teacher: Any = None,
    context_length: int | None = None,
    out: Any = None,
    **settings: Any,
) -> TuneReport:
    """Tunes a `CausalLM` on plain texts, with general text against forgetting.

    Args:
        lm: A `CausalLM`; changed in place.
        texts: What to learn.
        validation: Held-out texts of the same field; perplexity and bits per
            byte on them are reported before and after.
        replay: General texts, such as those it was pretrained on.
        replay_share: Share of the rows that come from `replay`.
        general: Held-out general texts: what is forgotten is reported.
        teacher: A larger `CausalLM` with the same vocabulary, whose
            probabilities are learned, too (see `Distillation`).
        context_length: Tokens of a row. Default: the model's.
        out: Folder of the run.
        **settings: As for `tune_on`: `epochs`, `trainable`, ...

    Returns:
        A `TuneReport`.

    Raises:
        InputError: There is no text, too little replay, or a setting that
            does not fit.

    Source: Gururangan et al. 2020, https://arxiv.org/abs/2004.10964 (domain
    tuning); Scialom et al. 2022, https://arxiv.org/abs/2205.12393 (replay).

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), tokenizer)
    >>> report = text(lm, ["a rose is a rose is a rose"] * 20,
    ...     validation=["a rose is a rose"], epochs=2, learning_rate=1e-2)
    >>> report.after["perplexity"] < report.before["perplexity"]
    True
    """
    length = context_length or lm.config.context_length
    rows = text_rows_of(texts, lm.tokenizer, length)
    replay = list(replay)
    if replay:
        others = text_rows_of(replay, lm.tokenizer, length)
        rows = mix(rows, others, replay_share)
    if general and not validation:
        raise InputError(
            "Expected validation texts of the field beside general ones, to "
            "compare what is learned with what is forgotten. Received: none."
        )
    held = (
        text_rows_of(validation, lm.tokenizer, length) if validation else None
    )

    def measured(lm: Any) -> dict[str, float]:
        return {
            f"{name}{measure}": value
            for name, held_out in (("", validation), ("general ", general))
            if held_out
            for measure, value in _bits(lm, held_out).items()
        }

    objective = None
    if teacher is not None:
        check_teacher(lm, teacher)
        objective = Distillation(teacher.model)
    return tune_on(
        lm,
        rows,
        kind="text",
        objective=objective,
        validation=held,
        measure=measured,
        out=out,
        options={"replay_share": replay_share if replay else 0.0},
        **settings,
    )


def _bits(lm: Any, texts: Sequence[str]) -> dict[str, float]:
    found = bits_per_byte(lm.model, lm.tokenizer, texts)
    return {
        "perplexity": found.perplexity,
        "bits per byte": found.bits_per_byte,
    }
