"""Instruction tuning: a language model learns to answer."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from keras_llm.adapters import compiled_key
from keras_llm.tune.chat_rows import chat_rows
from keras_llm.tune.distill import Distillation, check_teacher
from keras_llm.tune.examples import Conversation
from keras_llm.tune.kept import TuneReport
from keras_llm.tune.run import tune_on

SAMPLES, SAMPLE_TOKENS = 3, 48


def chat(
    lm: Any,
    conversations: Iterable[Conversation],
    *,
    validation: Sequence[Conversation] = (),
    learn: str = "answers",
    pack: bool = True,
    too_long: str = "drop",
    context_length: int | None = None,
    teacher: Any = None,
    alpha: float = 0.5,
    temperature: float = 2.0,
    samples: int = SAMPLES,
    out: Any = None,
    **settings: Any,
) -> TuneReport:
    """Tunes a `CausalLM` on conversations: only answers are learned.

    Args:
        lm: A `CausalLM` with a chat template; changed in place. Give it one
            with `lm.replace(chat="chatml")`.
        conversations: From `read_conversations` or `as_instructions`.
        validation: Held-out ones: the loss on their answers is reported
            before and after.
        learn: "answers", "last" (only the last of each), or "all".
        pack: Whether several share a row.
        too_long: What happens to those that do not fit: "drop", "cut" or
            "error".
        context_length: Tokens of a row. Default: the model's.
        teacher: A larger `CausalLM` with the same vocabulary, whose
            probabilities are learned, too.
        alpha, temperature: Of the `Distillation` from it.
        samples: How many validation prompts are answered in each epoch, for
            TensorBoard and samples.jsonl. Default: 3.
        out: Folder of the run.
        **settings: As for `tune_on`: `epochs`, `trainable`, ...

    Returns:
        A `TuneReport`; "loss" is in nats per learned token.

    Raises:
        InputError: The model has no chat template, a conversation does not
            fit it, or a setting does not.

    Source: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155, section 3.5
    (supervised tuning on demonstrations).

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import BytePairTokenizer
    >>> from keras_llm.tune import exchange
    >>> lm = CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=264, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), BytePairTokenizer.train(["a"], 264))
    >>> talk = [Conversation(exchange("b", "c"))] * 16
    >>> report = chat(lm, talk, validation=talk[:1], epochs=20,
    ...     learning_rate=1e-2, samples=0)
    >>> report.after["loss"] < report.before["loss"]
    True
    """
    length = context_length or lm.config.context_length
    make = functools.partial(
        chat_rows,
        tokenizer=lm.tokenizer,
        template=lm.chat_template,
        context_length=length,
        learn=learn,
        too_long=too_long,
    )
    rows = make(conversations, pack=pack)
    held = make(validation, pack=False) if validation else None
    objective = None
    options: dict[str, Any] = {"learn": learn, "pack": pack}
    if teacher is not None:
        check_teacher(lm, teacher)
        objective = Distillation(teacher.model, alpha, temperature)
        options |= {"alpha": alpha, "temperature": temperature}
    prompts = [one.messages[:-1] for one in validation[:samples]]
    return tune_on(
        lm,
        rows,
        kind="chat",
        objective=objective,
        validation=held,
        out=out,
        options=options,
        **({"sample": answers_to(lm, prompts)} if prompts else {}),
        **settings,
    )


def answers_to(
    lm: Any, prompts: Sequence[Sequence[dict[str, str]]]
) -> Callable[[Any], list[str]]:
    """Returns what answers some prompts while a model is trained.

    Args:
        lm: The `CausalLM` that is tuned.
        prompts: Conversations up to a user's message.

    Returns:
        From a decoder to texts, each the user's message and the answer.

    Example:

    >>> answers_to(None, [])(None)
    []
    """

    @functools.cache
    def talking(model: Any, _: Any) -> Any:
        return lm.replace(model=model)

    def sample(model: Any) -> list[str]:
        texts = []
        for prompt in prompts:
            # Adapters that were switched since mean other functions.
            speaker = talking(model, compiled_key(model))
            reply = "".join(
                speaker.chat(list(prompt), max_new_tokens=SAMPLE_TOKENS)
            )
            texts.append(f"{prompt[-1]['content']}\n-> {reply}")
        return texts

    return sample
