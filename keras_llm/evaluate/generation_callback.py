"""Scores of generated texts while a model trains."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_llm.causal_lm import CausalLM
from keras_llm.evaluate.generation import GenerationReport, generation_scores
from keras_llm.train.ema import averaged


class GenerationMetrics(keras.callbacks.Callback):
    """Answers held-out prompts every few epochs, and logs how well.

    For Keras' own `fit` of a decoder and for `keras_llm.train.fit`, where an
    epoch is a window of `log_every` steps. The last epoch is scored too. The
    numbers are in the logs, so `EarlyStopping("generation/rougeL",
    mode="max")` sees them if it comes later (and with `every=1`, because it
    asks in each epoch); averaged weights are used where there are.

    Args:
        tokenizer: The model's.
        prompts: Held-out prompts.
        references: What is expected: one text for each, or several.
        metrics: As for `generation_scores`.
        every: Epochs between two looks.
        name: Before the names of the numbers.
        **settings: Of generation, as for `CausalLM.generate`. Default:
            greedy.

    Attributes:
        report: The last `GenerationReport`, None before the first look.
        history: A dictionary for each look: `epoch`, `step` in
            `keras_llm.train.fit`, and the numbers.

    Raises:
        InputError: There are no prompts, or not as many references.

    Example:

    >>> from keras_llm import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.train(["a rose is a rose"], 264)
    >>> look = GenerationMetrics(tokenizer, ["a"], ["rose"], max_new_tokens=4)
    >>> look.history
    []
    """

    def __init__(
        self,
        tokenizer: Any,
        prompts: Sequence[str],
        references: Sequence[str | Sequence[str]],
        metrics: Sequence[str] = ("exact_match", "token_f1", "rougeL"),
        every: int = 1,
        name: str = "generation",
        **settings: Any,
    ):
        super().__init__()
        self.tokenizer, self.settings, self.every = tokenizer, settings, every
        self.prompts = list(prompts)
        self._scored = {
            "references": references,
            "metrics": metrics,
            "prompts": self.prompts,
            "name": name,
        }
        self.report: GenerationReport | None = None
        self.history: list[dict[str, Any]] = []
        self._lm: CausalLM | None = None
        self._score([""] * len(self.prompts))  # says what is wrong now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Generates and scores where it is due."""
        last = epoch + 1 == (self.params or {}).get("epochs")
        if (epoch + 1) % self.every and not last:
            return
        logs = {} if logs is None else logs
        self.report = self._score(self._generated())
        found = {
            name: measure.value
            for name, measure in self.report.measures().items()
        }
        step = {"step": logs["step"]} if "step" in logs else {}
        self.history.append({"epoch": epoch, **step, **found})
        logs.update(found)

    def _generated(self) -> list[str]:
        decoder = getattr(self.model, "decoder", self.model)
        if self._lm is None or self._lm.model is not decoder:
            self._lm = CausalLM(decoder, self.tokenizer)
        with averaged(decoder, self.model.optimizer):
            return self._lm.generate(self.prompts, **self.settings)

    def _score(self, texts: list[str]) -> GenerationReport:
        return generation_scores(texts, **self._scored)
