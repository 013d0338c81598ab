"""What a LiteRT export is asked for, checked before any work is done."""

import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_llm.adapters import merged_copy
from keras_llm.causal_lm import CausalLM
from keras_llm.conversation import all_end_ids
from keras_llm.errors import InputError
from keras_llm.export import litert_tokenizer
from keras_llm.export.litert_quantize import QUANTIZATIONS
from keras_llm.model import Decoder

TFLITE, BUNDLE = ".tflite", ".litertlm"
NEW_TOKENS, HELD_OUT_TOKENS = 64, 256


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is exported: checked arguments of `litert`."""

    model: Decoder
    lm: CausalLM | None  # None for a bare decoder
    bundles: bool
    quantization: str | None
    slots: int | None

    @property
    def room(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.slots or self.model.config.context_length

    @property
    def end_ids(self) -> list[int]:
        """Ids that end a text; none for a bare decoder."""
        if self.lm is None:
            return []
        lm = self.lm
        return list(all_end_ids(lm.tokenizer, lm.chat_template, lm.end_ids))


def make_plan(
    lm: CausalLM | Decoder,
    path: Path,
    quantization: str | None,
    slots: int | None,
    tokenizer: Any,
) -> Plan:
    """Returns the plan for `litert`'s arguments; raises InputError."""
    if path.suffix not in (TFLITE, BUNDLE):
        raise InputError(
            f"Expected a path that ends in {TFLITE} (the model alone) or "
            f"{BUNDLE} (with its tokenizer). Received: {path}."
        )
    if quantization not in (None, *QUANTIZATIONS):
        raise InputError(
            "Expected quantization None (float32) or one of "
            f"{', '.join(QUANTIZATIONS)}. Received: {quantization!r}."
        )
    model = merged_copy(lm.model if isinstance(lm, CausalLM) else lm)
    if tokenizer is not None:
        lm = CausalLM(model, tokenizer)
    plan = Plan(
        model,
        lm.replace(model=model) if isinstance(lm, CausalLM) else None,
        path.suffix == BUNDLE,
        quantization,
        slots,
    )
    _check(plan)
    _need_libraries(plan)
    return plan


def _check(plan: Plan) -> None:
    """Raises InputError for what does not go together."""
    context = plan.model.config.context_length
    if plan.slots is not None and not 2 <= plan.slots <= context:
        raise InputError(
            f"Expected cache_length from 2 to {context}, the context of the "
            f"model, or None for a cache that grows. Received: {plan.slots}."
        )
    rope = plan.model.config.rope
    if plan.slots is None and rope is not None and rope.scaling == "longrope":
        if context > rope.original_context:
            raise InputError(
                "Expected cache_length for a model with LongRoPE, whose angles "
                "depend on how long the text may get: a cache that grows would "
                f"change them at {rope.original_context} tokens, in the middle "
                f"of a text. Received: None. Pass one up to {context}."
            )
    if plan.bundles and plan.lm is None:
        raise InputError(
            f"Expected a tokenizer for a {BUNDLE} bundle. Received: a decoder "
            f"alone. Pass tokenizer=, or export {TFLITE}."
        )
    if plan.bundles and not plan.end_ids:
        raise InputError(
            "Expected a tokenizer with an eos or <|end|> token: the runtime "
            f"must know when to stop. Received: none. Export {TFLITE}."
        )
    if plan.bundles and plan.lm is not None:
        litert_tokenizer.refuse_word_pieces(plan.lm.tokenizer)


def _need_libraries(plan: Plan) -> None:
    needed = ["ai_edge_litert"]
    needed += ["ai_edge_quantizer"] if plan.quantization else []
    needed += ["litert_lm_builder", "litert_lm"] if plan.bundles else []
    missing = [n for n in needed if importlib.util.find_spec(n) is None]
    if missing:
        raise InputError(
            f"Expected the libraries for LiteRT to be installed. Received: no "
            f'{", ".join(missing)}. Run: pip install "keras_llm[litert]".'
        )


def signature_lengths(
    slots: int | None, prefill_lengths: Sequence[int]
) -> list[int] | list[None]:
    """Tokens of each prefill signature, the longest first."""
    if slots is None:
        return [None]
    wrong = [n for n in prefill_lengths if not isinstance(n, int) or n < 1]
    if wrong:
        raise InputError(
            "Expected prefill_lengths of 1 token or more. "
            f"Received: {list(prefill_lengths)}."
        )
    # Without 1 a chat fails as soon as less than a chunk is left.
    kept = {n for n in prefill_lengths if n <= slots} | {1}
    return sorted(kept, reverse=True)


def questions(
    plan: Plan, prompt: str, held_out: str | Sequence[int] | None
) -> dict[str, Any]:
    """What Keras and the file are asked."""
    ids = plan.lm.encode_prompt(prompt) if plan.lm else [0]
    if len(ids) > plan.room - 2:
        raise InputError(
            f"Expected a prompt of at most {plan.room - 2} tokens, so that it "
            f"can be continued. Received: {len(ids)}. Pass a shorter prompt."
        )
    most = min(HELD_OUT_TOKENS, plan.room)
    return {
        "prompt": ids,
        "new_tokens": min(NEW_TOKENS, plan.room - 1 - len(ids)),
        "end_ids": plan.end_ids,
        "held_out": _held_out_ids(plan, held_out, most),
        "held_out_tokens": most - 1,
    }


def _held_out_ids(
    plan: Plan, held_out: str | Sequence[int] | None, most: int
) -> list[int] | None:
    if held_out is None:
        return None
    if isinstance(held_out, str):
        if plan.lm is None:
            raise InputError(
                "Expected held_out as ids for a decoder without a tokenizer. "
                "Received: text. Pass tokenizer=, or ids."
            )
        held_out = plan.lm.encode_prompt(held_out)
    ids = [int(token) for token in held_out[:most]]
    if len(ids) < 2:
        raise InputError(
            f"Expected held_out of 2 tokens or more. Received: {len(ids)}."
        )
    size = plan.model.config.vocabulary_size
    if min(ids) < 0 or max(ids) >= size:
        raise InputError(
            f"Expected held_out with ids from 0 to {size - 1}. Received: "
            f"{min(ids)} to {max(ids)}. Were they made with another tokenizer?"
        )
    return ids
