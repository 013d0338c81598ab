"""A `CausalLM` for EleutherAI's lm-evaluation-harness: any of its tasks."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

from keras_llm.conversation import required
from keras_llm.errors import InputError
from keras_llm.evaluate.keras_subject import KerasSubject
from keras_llm.evaluate.pairs_rule import pair_window, rolling_windows
from keras_llm.evaluate.subject import Prompt
from keras_llm.evaluate.whole_sequences import one_by_one
from keras_llm.evaluate.window_subject import Scores

_KNOWN = {"until", "max_gen_toks", "do_sample", "temperature"}


def lm_eval_model(
    lm: Any,
    name: str | None = None,
    batch_size: int = 16,
    shared_prefix: bool = False,
    max_new_tokens: int = 256,
) -> Any:
    """Returns a language model as the lm-evaluation-harness wants one.

    Any of its tasks then runs on a model of ours:

        from lm_eval import simple_evaluate
        found = simple_evaluate(lm_eval_model(lm), tasks=["hellaswag"])
        print(found["results"])

    The rules are its `HFLM`'s, but that a whole text is scored without a
    start token of its own (`HFLM` scores the bos of a tokenizer that adds
    one, after another bos).

    Args:
        lm: A `CausalLM`.
        name: What it is called in results. Default: as for `KerasSubject`.
        batch_size: Sequences scored at once, where they are scored one by
            one.
        shared_prefix: Whether what requests share is read once, by
            `KerasSubject`: the same numbers, sooner. Default: whole
            sequences by length, as `HFLM` does.
        max_new_tokens: Most tokens of an answer, where the task says none.

    Returns:
        An `lm_eval.api.model.TemplateLM`.

    Raises:
        InputError: The package `lm-eval` is missing; or, when it is asked, a
            request does not fit the model, or a task wants a way of drawing
            that there is not.

    Source: https://github.com/EleutherAI/lm-evaluation-harness 0.4.13.

    Example:

    >>> from keras_llm import CausalLM, DecoderConfig, build_decoder
    >>> from keras_llm.tokenizers import HostTokenizer
    >>> model = lm_eval_model(CausalLM(build_decoder(DecoderConfig(
    ...     vocabulary_size=261, context_length=16, num_layers=1,
    ...     hidden_dim=8, num_heads=2)), HostTokenizer.train(["a"], 261)))
    >>> model.max_length, model.tok_encode("a")
    (16, [256, 97])
    """
    subject = KerasSubject(lm, name, shared_prefix=shared_prefix)
    score = subject.score if shared_prefix else one_by_one(lm.model, batch_size)
    return _model_class()(subject, score, max_new_tokens)


class _Methods:
    """What a `TemplateLM` must have, over a `KerasSubject`.

    `TemplateLM` itself does the rest: it moves spaces, encodes pairs and
    handles empty contexts.
    """

    cache_hook: Any  # the harness's, which keeps answers if it is asked to

    def __init__(
        self, subject: KerasSubject, score: Callable, max_new_tokens: int
    ):
        super().__init__()
        self.subject, self._score = subject, score
        self.max_length = subject.context_length
        self.max_gen_toks = max_new_tokens

    @property
    def eot_token_id(self) -> int | None:
        return self.subject.tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        return self.subject.start

    @property
    def tokenizer_name(self) -> str:
        return self.subject.tokenizer.fingerprint

    def get_model_info(self) -> dict[str, Any]:
        """Returns what stands about the model in the results."""
        model = self.subject.lm.model
        return {
            "model_name": self.subject.name,
            "model_sha": self.subject.fingerprint,
            "model_num_parameters": model.count_params(),
            "model_dtype": model.dtype_policy.name,
        }

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Returns ids; the start token is first where the model has one."""
        if add_special_tokens is None:
            return self.subject.encode(string)
        ids = self.subject.tokenizer.encode(string, allowed_special="all")
        return [self.prefix_token_id, *ids] if add_special_tokens else ids

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, list[int], list[int]]],
        disable_tqdm: bool = False,
        **_: Any,
    ) -> list[tuple[float, bool]]:
        found = self._score(
            [
                pair_window(given, scored, self.max_length)
                for _, given, scored in requests
            ]
        )
        answers = [(_total(one), bool(one.likeliest.all())) for one in found]
        texts = [text for text, _, _ in requests]
        return self._kept("loglikelihood", texts, answers)

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Returns each whole text's log-probability in nats."""
        texts = [request.args for request in requests]
        windows = [
            list(
                rolling_windows(
                    self.subject.text_ids(text),
                    self.prefix_token_id,
                    self.max_length,
                )
            )
            for (text,) in texts
        ]
        found = iter(self._score([w for each in windows for w in each]))
        answers = [sum(_total(next(found)) for _ in each) for each in windows]
        return self._kept("loglikelihood_rolling", texts, answers)

    def generate_until(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[str]:
        """Returns the answers, up to their stop strings."""
        asked = [request.args for request in requests]
        answers = self.subject.generate(
            [
                self._prompt(context, options, seed)
                for seed, (context, options) in enumerate(asked)
            ]
        )
        return self._kept("generate_until", asked, answers)

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,
    ) -> str:
        """Returns a conversation as text.

        Without a generation prompt it ends where the last message does, which
        the model is to go on with.
        """
        template = required(self.subject.lm.chat_template)
        text = template.render(chat_history, add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Returns the template as JSON, for the results."""
        template = required(self.subject.lm.chat_template)
        return json.dumps(template.to_dict()) if chat_template else ""

    def _prompt(self, context: str, options: dict, seed: int) -> Prompt:
        from lm_eval.models.utils import normalize_gen_kwargs

        wanted: Any = normalize_gen_kwargs(options, self.max_gen_toks)
        if unknown := sorted(set(wanted) - _KNOWN):
            raise InputError(
                f"Expected generation_kwargs out of {', '.join(sorted(_KNOWN))}"
                f". Received: {', '.join(unknown)}. Override them with "
                "simple_evaluate(..., gen_kwargs=...) or in the task's file."
            )
        return Prompt(
            context,
            tuple(wanted["until"]),
            wanted["max_gen_toks"],
            float(wanted.get("temperature", 0.0)),
            seed,
        )

    def _kept(self, kind: str, asked: Sequence, answers: list) -> list:
        """Answers, after the harness's cache was told."""
        for request, answer in zip(asked, answers, strict=True):
            self.cache_hook.add_partial(kind, request, answer)
        return answers


@functools.cache
def _model_class() -> type:
    """The methods on the harness's own class."""
    try:
        from lm_eval.api.model import TemplateLM
    except ImportError as error:
        raise InputError(
            "Expected the package lm-eval for the harness's own tasks. "
            "Received: an environment without it. Install it with: pip "
            'install "keras_llm[lm-eval]".'
        ) from error
    return type("KerasLM", (_Methods, TemplateLM), {"__module__": __name__})


def _total(scores: Scores) -> float:
    return float(scores.log_probabilities.sum(dtype="float64"))
