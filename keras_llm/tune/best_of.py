"""Best of n: several answers, and the one that a judge likes best."""

from typing import Any, NamedTuple

from keras_llm.errors import InputError
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.answers import Answering
from keras_llm.tune.examples import Message
from keras_llm.tune.messages import exchange
from keras_llm.tune.questions import Question
from keras_llm.tune.rewards import Reward, judged


class Candidate(NamedTuple):
    """An answer and its score.

    Example:

    >>> Candidate("Hello", 0.5).score
    0.5
    """

    text: str
    score: float


def best_of_n(
    lm: Any,
    prompt: str | tuple[Message, ...],
    n: int,
    judge: Reward,
    *,
    record: Any = None,
    template: ChatTemplate | str | None = None,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
    **sampling: Any,
) -> list[Candidate]:
    """Returns n answers to a prompt, the best one first.

    All are drawn in one call of the compiled generation.

    Args:
        lm: A `CausalLM`.
        prompt: A user's message, or messages with a user's last.
        n: How many answers.
        judge: A `RewardModel`, or any function `(prompt, answer, record) ->
            float`, such as those of `keras_llm.tune.rewards`.
        record: What the judge gets to know. Default: nothing.
        template: The chat template, or "plain". Default: the model's own,
            else "plain".
        max_new_tokens: The most tokens of an answer.
        temperature: Above 0, or all answers are the same. Default: 1.
        seed: Answer i draws from `seed + i`.
        **sampling: Other fields of `GenerationSettings`.

    Raises:
        InputError: n < 1, the prompt does not fit, or the judge gives no
            number.

    Source: Stiennon et al. 2020, https://arxiv.org/abs/2009.01325.

    Example:

    >>> import keras_llm as kl
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> lm = kl.CausalLM(kl.build_decoder(kl.DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> found = best_of_n(lm, "a", 3, lambda prompt, answer, record:
    ...     len(answer), max_new_tokens=4, template="plain")
    >>> len(found), found[0].score >= found[1].score >= found[2].score
    (3, True)
    """
    if n < 1:
        raise InputError(
            f"Expected n of at least 1, the number of answers. Received: {n}."
        )
    messages = exchange(prompt) if isinstance(prompt, str) else tuple(prompt)
    question = Question(messages, record or {}, where="the prompt")
    asking = Answering(lm, template, max_new_tokens)
    answers = asking(
        [asking.encode(question)] * n, temperature, seed, **sampling
    )
    texts = [answer.text for answer in answers]
    scores = judged(judge, [question] * n, texts)
    found = list(map(Candidate, texts, scores))
    return sorted(found, key=lambda one: -one.score)
