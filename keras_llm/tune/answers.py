"""Answers to many questions at once, by the compiled generation."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_llm.conversation import all_end_ids, chosen_template, required
from keras_llm.errors import InputError
from keras_llm.sampling import GenerationSettings
from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tune.pair_rows import PLAIN
from keras_llm.tune.questions import Question
from keras_llm.tune.rewards import Reward, judged


class Answer(NamedTuple):
    """What a model wrote.

    Attributes:
        ids: The new tokens, with the one that ended it.
        text: Their text, without the end.
        ended: Whether it ended by itself.

    Example:

    >>> Answer([55, 256], "7", True).text
    '7'
    """

    ids: list[int]
    text: str
    ended: bool


class Answering:
    """A language model with how it is asked; weights are read at each call.

    Args:
        lm: A `CausalLM`.
        template: The chat template, or "plain" to continue the prompt's text.
            Default: the model's own, else "plain".
        max_new_tokens: The most tokens of an answer.

    Attributes:
        end_id: The one id that ends an answer: the end of a turn, or the
            tokenizer's eos; None if there is none.

    Raises:
        InputError: The template does not suit the tokenizer, or the backend
            is not TensorFlow.

    Example: see `keras_llm.tune.answers.mean_reward`.
    """

    def __init__(
        self,
        lm: Any,
        template: ChatTemplate | str | None = None,
        max_new_tokens: int = 64,
    ):
        self.lm, self.max_new_tokens = lm, max_new_tokens
        template = template or lm.chat_template or PLAIN
        self.template = (
            None
            if template == PLAIN
            else required(chosen_template(lm.tokenizer, template))
        )
        if self.template is None:
            ends = lm.end_ids
        else:
            ends = all_end_ids(lm.tokenizer, self.template, given=())
        self.end_id = ends[0] if ends else None

    def encode(self, question: Question) -> list[int]:
        """Returns the ids of a question, up to where the answer begins.

        Raises:
            InputError: An answer of `max_new_tokens` does not fit behind it,
                or without a template it is more than one message.
        """
        if self.template is not None:
            ids, _ = self.template.encode(
                self.lm.tokenizer, question.prompt, True
            )
        else:
            ids = self._plain(question)
        room = self.lm.config.context_length - self.max_new_tokens
        if len(ids) > room:
            raise InputError(
                f"Expected questions of at most {room} tokens, so that "
                f"{self.max_new_tokens} new ones fit into the context. "
                f"Received: {len(ids)} in {question.where}. Lower "
                "max_new_tokens, or leave it out."
            )
        return ids

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        temperature: float = 0.0,
        seed: int = 0,
        **sampling: Any,
    ) -> list[Answer]:
        """Returns an answer to each prompt, in one call of the model.

        Args:
            prompts: From `encode`.
            temperature: 0 is greedy.
            seed: Prompt i draws from `seed + i`.
            **sampling: Other fields of `GenerationSettings`.
        """
        settings = GenerationSettings(
            max_new_tokens=self.max_new_tokens,
            temperature=temperature,
            seed=seed,
            **sampling,
        )
        ends = () if self.end_id is None else (self.end_id,)
        generator = self.lm._compiled(ends)  # kept there from call to call
        state = generator.start(prompts, settings)
        state = generator.advance(state, self.max_new_tokens)
        rows, ended = generator.rows(state), state["ended"].numpy()
        return [
            self._answer(ids, bool(done))
            for ids, done in zip(rows, ended, strict=True)
        ]

    def _answer(self, ids: list[int], ended: bool) -> Answer:
        end = [self.end_id] if ended and self.end_id is not None else []
        return Answer(ids + end, self.lm.decode(ids), ended)

    def _plain(self, question: Question) -> list[int]:
        if len(question.prompt) > 1:
            raise InputError(
                "Expected one message where there is no chat template. "
                f"Received: {len(question.prompt)} in {question.where}. Pass "
                "a template."
            )
        return self.lm.encode_prompt(question.text)


def mean_reward(
    lm: Any,
    questions: Iterable[Question],
    reward: Reward,
    *,
    temperature: float = 0.0,
    max_new_tokens: int = 64,
    template: ChatTemplate | str | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> float:
    """Returns the mean reward of a model's answers, one a question.

    Args:
        lm: A `CausalLM`.
        questions: What it is asked.
        reward: See `keras_llm.tune.rewards`.
        temperature: Default: 0, greedy.
        max_new_tokens, template: As in `Answering`.
        batch_size: Questions answered at a time.
        seed: For a temperature above 0.

    Raises:
        InputError: There are no questions, one does not fit the context, or
            the reward is no number.

    Example:

    >>> import keras_llm as kl
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> from keras_llm.tune import exchange
    >>> tokenizer = HostTokenizer.train(["a"], 261, progress=False)
    >>> lm = kl.CausalLM(kl.build_decoder(kl.DecoderConfig(vocabulary_size=261,
    ...     context_length=16, num_layers=1, hidden_dim=8, num_heads=2)),
    ...     tokenizer)
    >>> mean_reward(lm, [Question(exchange("3+4="))], lambda *_: 0.5,
    ...             max_new_tokens=4)
    0.5
    """
    asked = list(questions)
    if not asked:
        raise InputError(
            "Expected at least one question. Received: none. Pass some, for "
            "example from tune.read_questions."
        )
    answering = Answering(lm, template, max_new_tokens)
    prompts = [answering.encode(question) for question in asked]
    total = 0.0
    for at in range(0, len(asked), batch_size):
        some = slice(at, at + batch_size)
        answers = answering(prompts[some], temperature, seed + at)
        texts = [answer.text for answer in answers]
        total += sum(judged(reward, asked[some], texts))
    return total / len(asked)
