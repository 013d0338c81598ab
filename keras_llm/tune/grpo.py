"""grpo: learning from rewards of answers that the model draws itself."""

import os
from collections.abc import Iterable
from typing import Any

from keras_llm.adapters import adapter_names
from keras_llm.errors import InputError
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.train import TrainConfig, TrainReport, distribution_of, fit
from keras_llm.tune.answers import Answering
from keras_llm.tune.group_policy import GroupPolicy, GroupPolicyConfig
from keras_llm.tune.prefer import keep_settings
from keras_llm.tune.questions import Question
from keras_llm.tune.reference import same_model
from keras_llm.tune.rewards import Reward
from keras_llm.tune.rollouts import Rollouts

DEFAULTS: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 1e-5,
    "weight_decay": 0.0,
}


def grpo(
    lm: Any,
    questions: Iterable[Question],
    reward: Reward,
    *,
    config: GroupPolicyConfig | None = None,
    reference: Any = None,
    template: ChatTemplate | str | None = None,
    out: str | os.PathLike | None = None,
    group: int = 8,
    updates: int = 1,
    clip: float = 0.2,
    clip_high: float | None = None,
    kl: float = 0.0,
    temperature: float = 1.0,
    max_new_tokens: int = 64,
    loss: str = "grpo",
    **settings: Any,
) -> TrainReport:
    """Tunes a language model in place by the rewards of its own answers.

    In each step the model draws a group of answers to some questions, in one
    call of the compiled generation; answers that earn more than their group's
    mean become likelier, the others less likely. It is `train.fit` with
    batches that are made when their step comes: a stopped run goes on with
    the same answers, bit for bit on the same machine.

    Args:
        lm: A `CausalLM` that already earns a reward now and then: of a group
            without any, or with all, nothing is learned.
        questions: From `read_questions`.
        reward: `rewards.exact()`, `rewards.number()`, `rewards.matches(...)`,
            or a function `(prompt, answer, record) -> float`.
        config: The constants as a record, instead of keywords.
        reference: With `kl`: the model to keep to. Default: the base of a
            model with adapters, else a copy of the model as it is now. A run
            that goes on in the same process needs it, because the model is
            no longer what it was.
        template: The chat template, or "plain" to continue the prompt's
            text. Default: the model's own, else "plain".
        out: Folder of the run, as in `train.fit`.
        group, updates, clip, clip_high, kl, temperature, max_new_tokens,
            loss: See `GroupPolicyConfig`.
        **settings: Of `train.fit`: `steps` (updates of the weights),
            `batch_size` (answers, a multiple of `group`), ... Defaults that
            differ: batch_size=64, learning_rate=1e-5, weight_decay=0.

    Returns:
        The report; for the metrics see `GroupPolicy`.

    Raises:
        InputError: A question does not fit, the reward gives no number, a
            setting is out of range, the model is on several devices, or the
            folder holds another run.

    Source: Shao et al. 2024, https://arxiv.org/abs/2402.03300.

    Example:

    >>> import keras_llm as kl
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune import exchange
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> lm = kl.CausalLM(kl.build_decoder(kl.DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> report = grpo(lm, [Question(exchange("a"))],
    ...     lambda prompt, answer, record: len(answer), steps=1, group=2,
    ...     batch_size=2, max_new_tokens=4)
    >>> report.steps
    1
    """
    config = config or GroupPolicyConfig(
        loss=loss,
        group=group,
        updates=updates,
        clip=clip,
        clip_high=clip_high,
        kl=kl,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
    )
    chosen = TrainConfig.from_dict({**DEFAULTS, **settings_of(settings)})
    _check_devices(lm.model)
    _check(config, chosen, out)
    rollouts = Rollouts(
        Answering(lm, template, config.max_new_tokens),
        list(questions),
        reward,
        config,
        chosen.batch_size,
        reference=_reference(reference, lm) if config.kl else None,
        rows=chosen.batch_size // chosen.accumulate,
        out=out,
    )
    keep_settings(out, config)
    try:
        return fit(
            lm.model,
            rollouts,
            out=out,
            objective=GroupPolicy(config),
            **{**DEFAULTS, **settings},
        )
    except Exception as error:
        if rollouts.error is None or error is rollouts.error:
            raise
        raise rollouts.error from error


def settings_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns those of the keywords of `fit` that are a `TrainConfig`'s.

    Example:

    >>> settings_of({"steps": 3, "callbacks": ()})
    {'steps': 3}
    """
    others = ("callbacks", "sample", "resume", "config")
    given = settings.get("config")
    own = {} if given is None else given.to_dict()
    return own | {k: v for k, v in settings.items() if k not in others}


def _reference(reference: Any, lm: Any) -> Any:
    """The decoder to keep to."""
    if reference is not None:
        return getattr(reference, "model", reference)
    return lm.model if adapter_names(lm.model) else same_model(lm.model)


def _check(config: GroupPolicyConfig, settings: TrainConfig, out: Any) -> None:
    if settings.steps_per_execution > 1:
        raise InputError(
            "Expected steps_per_execution=1: answers are drawn between two "
            f"steps. Received: {settings.steps_per_execution}. Leave it out."
        )
    if out is not None and settings.checkpoint_every % config.updates:
        raise InputError(
            f"Expected checkpoint_every as a multiple of updates="
            f"{config.updates}, so that a run can go on from a checkpoint "
            f"with the same answers. Received: {settings.checkpoint_every}."
        )


def _check_devices(model: Any) -> None:
    kind = distribution_of(model).kind
    if kind != "single":
        raise InputError(
            "Expected a model on one device: answers are drawn from it between "
            f"two steps. Received: {kind}. Load it outside of the scope, or "
            "use --strategy single."
        )
