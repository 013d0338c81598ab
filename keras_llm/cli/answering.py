"""Two answers to each prompt, from one model or two, for `keras-llm label`."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_llm.errors import InputError

WARM = 0.8  # greedy answers of one model would be the same twice


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A model and how it answers.

    Attributes:
        model: Its folder.
        settings: Of the generation.
        chat: Whether prompts are messages.
    """

    model: Path
    settings: dict[str, Any]
    chat: bool

    def asked(self, prompt: str) -> Any:
        """Returns a prompt as the store keeps it."""
        return [{"role": "user", "content": prompt}] if self.chat else prompt

    def answer_id(self, prompt: str) -> str:
        """Returns a name for the answer, the same whenever it is asked."""
        from keras_llm.feedback.tables import as_json

        whole = as_json([self.asked(prompt), str(self.model), self.settings])
        return f"label-{hashlib.sha256(whole.encode()).hexdigest()[:24]}"

    def answer(self, prompt: str, load: Callable[[Path], Any]) -> Any:
        """Generates an answer as the store keeps it."""
        from keras_llm.adapters import version
        from keras_llm.feedback import Answer

        lm, asked = load(self.model), self.asked(prompt)
        if self.chat:
            text = "".join(lm.chat(asked, **self.settings))
        else:
            text = lm.generate(prompt, **self.settings)
        return Answer(
            id=self.answer_id(prompt),
            prompt=asked,
            text=text,
            model=str(self.model),
            adapter=version(lm.model),
            settings=self.settings,
        )


def contestants(
    models: Sequence[Path],
    temperatures: Sequence[float],
    chat: bool,
    max_new_tokens: int,
    seed: int,
) -> tuple[Contestant, Contestant]:
    """Returns the two that answer: they differ in model, temperature or seed.

    Raises:
        InputError: There are more than two models or temperatures, or both
            would always give the same answer.
    """
    from keras_llm.sampling import GenerationSettings

    if not 1 <= len(models) <= 2 or len(temperatures) > 2:
        raise InputError(
            "Expected --model once or twice, and --temperature at most twice. "
            f"Received: {len(models)} models and {len(temperatures)} "
            "temperatures."
        )
    folders = (models[0], models[-1])
    heats = (*temperatures, WARM)[0], (*temperatures[-1:], WARM)[0]
    alike = folders[0] == folders[1] and heats[0] == heats[1]
    if alike and not heats[0]:
        raise InputError(
            "Expected two ways to answer. Received: one model with "
            "--temperature 0, which says the same twice. Name a second model "
            "or another temperature."
        )
    made = [
        GenerationSettings(
            max_new_tokens=max_new_tokens,
            temperature=heat,
            seed=seed + (place if alike else 0),
        ).to_dict()
        for place, heat in enumerate(heats)
    ]
    first, second = (
        Contestant(folder, settings, chat)
        for folder, settings in zip(folders, made, strict=True)
    )
    return first, second


def generated_pairs(
    store: Any,
    prompts: Sequence[str],
    both: tuple[Contestant, Contestant],
    load: Callable[[Path], Any],
) -> Iterator[tuple[Any, Any]]:
    """Yields two answers to each prompt, generated when they are asked for.

    Both are kept in the store before they are shown, and not generated again.
    Where they are the same there is nothing to compare.
    """
    load = functools.cache(load)
    for prompt in prompts:
        for one in both:
            if one.answer_id(prompt) not in store:
                store.add(one.answer(prompt, load))
        first, second = (store.answer(one.answer_id(prompt)) for one in both)
        if first.text != second.text:
            yield first, second
