"""What Keras gives, for every signature of a SavedModel to be held against."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_llm.causal_lm import CausalLM
from keras_llm.errors import ExportError
from keras_llm.sampling import GenerationSettings
from keras_llm.stopping import SEPARATOR

FEW_TOKENS = 16  # for what is compared besides the usual continuation
_TOLERANCE = 1e-3  # relative, of a summed log-probability


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of a signature and what has to come out.

    Attributes:
        signature: Its name.
        inputs: Lists by name.
        expected: Lists by name of an output; others are not compared. Of a
            longer output only as much as is expected here.
        after: Name of an earlier case whose outputs are inputs, too.
    """

    signature: str
    inputs: dict[str, Any]
    expected: dict[str, list]
    after: str = ""

    def call(self) -> dict[str, Any]:
        """Returns the call in the probe's words."""
        return {
            "signature": self.signature,
            "inputs": self.inputs,
            "after": self.after,
        }

    def check(
        self, name: str, prompts: Sequence[str], found: dict[str, Any]
    ) -> None:
        """Compares row by row.

        Raises:
            ExportError: A row differs.
        """
        for output, rows in self.expected.items():
            for row, expected in enumerate(rows):
                received = found[output][row]
                if not _same(expected, received):
                    raise ExportError(
                        f"Expected the SavedModel to give ({name}: {output}) "
                        f"for the prompt {prompts[row % len(prompts)]!r} what "
                        f"Keras gives, {expected!r:.300}. Received: "
                        f"{received!r:.300}. Nothing was exported. Please "
                        "report this."
                    )


def cases(
    lm: CausalLM,
    settings: GenerationSettings,
    prompts: list[str],
    signatures: Sequence[str],
) -> dict[str, Case]:
    """Returns the cases by name; the usual continuation comes first.

    Args:
        lm: What was exported.
        settings: Of its `serving_default`.
        prompts: Texts that fit the context.
        signatures: Which ones to compare.
    """
    made = {
        "serving_default": _usual,
        "generate": _generated,
        "chat": _replies,
        "score": _scores,
        "score_tokens": _id_scores,
        "embed": _vectors,
        "tokenize": _ids,
        "detokenize": _texts,
        "start": _started,
    }
    found: dict[str, Case] = {}
    for name, make in made.items():
        if name in signatures:
            found |= make(lm, settings, prompts)
    return found


def _usual(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    alone = _alone(lm, settings, prompts)
    return {
        f"serving_default, {which}": Case(
            "serving_default", {"prompt": some}, {"text": texts}
        )
        for which, some, texts in (
            ("alone", prompts[-1:], alone[-1:]),
            *(
                (f"prompt {row} alone", prompts[row : row + 1], [text])
                for row, text in enumerate(alone[:-1])
            ),
        )
    } | {
        "serving_default": Case(
            "serving_default", {"prompt": prompts}, {"text": alone}
        )
    }


def _generated(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    varied = dataclasses.replace(
        settings,
        max_new_tokens=min(settings.max_new_tokens, FEW_TOKENS),
        temperature=0.8,
        top_k=40,
        top_p=0.95,
        repetition_penalty=1.1,
        seed=3,
    )
    return {
        name: Case(
            "generate",
            {"prompt": prompts, **controls(chosen, len(prompts))},
            {"text": _alone(lm, chosen, prompts)},
        )
        for name, chosen in (
            ("generate", settings),
            ("generate, varied", varied),
        )
    }


def _replies(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    few = _few(settings)
    talks = [[{"role": "user", "content": prompt}] for prompt in prompts]
    template = lm.chat_template
    kept = [
        talk
        for talk in talks
        if template is not None
        and len(template.encode(lm.tokenizer, talk, True)[0])
        < lm.config.context_length
    ]
    if not kept:
        return {}
    expected = ["".join(lm.chat(talk, **few.to_dict())) for talk in kept]
    inputs = {
        "roles": [["user"]] * len(kept),
        "contents": [[talk[0]["content"]] for talk in kept],
        **controls(few, len(kept)),
    }
    return {"chat": Case("chat", inputs, {"text": expected})}


def _scores(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    sums = [
        float(lm.score(prompt).sum())
        if len(lm.encode_prompt(prompt)) > 1
        else 0.0
        for prompt in prompts
    ]
    sizes = [max(len(prompt.encode()), 1) for prompt in prompts]
    bits = [
        -total / math.log(2) / size
        for total, size in zip(sums, sizes, strict=True)
    ]
    expected = {"sum_logprob": sums, "bits_per_byte": bits}
    return {"score": Case("score", {"text": prompts}, expected)}


def _id_scores(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    ids = [lm.encode_prompt(prompt) for prompt in prompts]
    found = [lm.score(prompt).tolist() or [0.0] for prompt in prompts]
    expected = {"token_logprobs": _padded(found, 0)}
    inputs = {"tokens": _padded(ids)}
    return {"score_tokens": Case("score_tokens", inputs, expected)}


def _vectors(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    expected = {"embedding": lm.embed(prompts).tolist()}
    return {"embed": Case("embed", {"text": prompts}, expected)}


def _ids(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    expected = {"tokens": _padded(_encoded(lm, prompts))}
    return {"tokenize": Case("tokenize", {"text": prompts}, expected)}


def _texts(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    ids = _encoded(lm, prompts)
    expected = {"text": [lm.tokenizer.decode(row) for row in ids]}
    return {
        "detokenize": Case("detokenize", {"tokens": _padded(ids)}, expected)
    }


def _started(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> dict[str, Case]:
    few = dataclasses.replace(_few(settings), stop=())
    ids = [lm.encode_prompt(prompt) for prompt in prompts]
    rows = len(prompts)
    inputs = {
        "tokens": _padded(ids, 0),
        "lengths": [len(row) for row in ids],
        "ends": [list(lm.end_ids)] * rows,
        "candidates": [True] * rows,
        **controls(few, rows),
    }
    del inputs["stop"]
    texts = _alone(lm, few, prompts)
    most = {"most": few.max_new_tokens}
    return {
        "start": Case("start", inputs, {}),
        "advance": _Decoded("advance", most, {"output": texts}, "start", lm),
    }


@dataclasses.dataclass(frozen=True)
class _Decoded(Case):
    """A case whose outputs are ids; their text is expected."""

    lm: CausalLM | None = None

    def check(
        self, name: str, prompts: Sequence[str], found: dict[str, Any]
    ) -> None:
        """As for any case."""
        lm = self.lm
        texts = {
            output: [
                lm.decode(i for i in row if i >= 0) if lm else row
                for row in found[output]
            ]
            for output in self.expected
        }
        super().check(name, prompts, texts)


def controls(settings: GenerationSettings, rows: int) -> dict[str, list]:
    """Returns the inputs of `generate` and `chat` that say these settings."""
    values = settings.to_dict() | {"stop": SEPARATOR.join(settings.stop)}
    return {name: [value] * rows for name, value in values.items()}


def _few(settings: GenerationSettings) -> GenerationSettings:
    """Greedy, and not many tokens."""
    return dataclasses.replace(
        settings,
        temperature=0.0,
        max_new_tokens=min(settings.max_new_tokens, FEW_TOKENS),
    )


def _alone(
    lm: CausalLM, settings: GenerationSettings, prompts: list[str]
) -> list[str]:
    values = settings.to_dict()
    return [lm.generate(prompt, **values) for prompt in prompts]


def _encoded(lm: CausalLM, prompts: list[str]) -> list[list[int]]:
    return lm.tokenizer.encode(prompts, disallowed_special=())


def _padded(rows: list[list], filler: int = -1) -> list[list]:
    width = max(map(len, rows))
    return [row + [filler] * (width - len(row)) for row in rows]


def _same(ours: Any, theirs: Any) -> bool:
    """Equal, or close where numbers are not whole."""
    flat = np.ravel(ours)
    if flat.dtype.kind != "f":
        return ours == theirs
    scale = _TOLERANCE * max(1.0, float(np.abs(flat).max()))
    return bool(np.allclose(flat, np.ravel(theirs), _TOLERANCE, scale))
