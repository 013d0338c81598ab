"""Chat templates of published models, and our own, by name.

Each states its format as data and equals the `chat_template` that the model
was published with, for conversations of text (no tools, no images). What a
template gives is in `tests/golden/chat.json`, with the address of each text;
four were read in excerpts only ("qwen2", "smollm2", "phi4", "phi4_mini"), and
"olmo2" was composed from "tulu", not found.

Differences, on purpose:

- Published templates with a date in the system header take today's. A prompt
  should not change over night, so here it stands still: at the date that the
  published template falls back to ("llama3.1"), or that its documentation
  shows. `with_text` puts another one in.
- A message in a place where the template would drop it without a word, or a
  field it does not know (tool calls), is an `InputError`.
- "mistral_v3" and "mistral_v3_tekken" put the system message into the last
  user message, as Mistral's own library does; the published template drops it
  where the conversation ends with a reply.
- "smollm3": the flags `/think`, `/no_think` and `/system_override` inside of
  a system message are text like any other; choose "smollm3_no_think" instead.
- "alpaca" has no special tokens but its end, which is GPT-2's; use
  `with_text("<|endoftext|>", "</s>")` for Llama's.
"""

import dataclasses

from keras_llm.tokenizers.chat_chatml import CHATML_TEMPLATES
from keras_llm.tokenizers.chat_encoding import Piece
from keras_llm.tokenizers.chat_template import ChatTemplate, Messages
from keras_llm.tokenizers.chat_turns import Fold, Turn

__all__ = ["TEMPLATES", "ChatTemplate", "Fold", "Messages", "Piece", "Turn"]

KERAS_LLM = ChatTemplate(
    start="<|endoftext|>",
    turns={
        "system": Turn(prefix="<|system|>", suffix="<|end|>"),
        "user": Turn(prefix="<|user|>", suffix="<|end|>"),
        "assistant": Turn(prefix="<|assistant|>", suffix="<|end|>"),
    },
    generation="<|assistant|>",
    end=("<|end|>",),
    special=(
        *("<|endoftext|>", "<|system|>", "<|user|>"),
        *("<|assistant|>", "<|end|>"),
    ),
)

ALPACA = ChatTemplate(
    turns={
        "system": Turn(suffix="\n\n", strip="both"),
        "user": Turn(prefix="### Instruction:\n", suffix="\n\n", strip="both"),
        "assistant": Turn(
            prefix="### Response:\n", suffix="<|endoftext|>\n\n", strip="both"
        ),
    },
    generation="### Response:\n",
    end=("<|endoftext|>",),
    special=("<|endoftext|>",),
    default_system="Below is an instruction that describes a task. Write a "
    "response that appropriately completes the request.",
    order="alternate",
)

LLAMA2 = ChatTemplate(
    turns={
        "user": Turn(prefix="<s>[INST] ", suffix=" [/INST]", strip="both"),
        "assistant": Turn(prefix=" ", suffix=" </s>", strip="both"),
    },
    fold=Fold(prefix="<<SYS>>\n", suffix="\n<</SYS>>\n\n", strip="end"),
    generation="",
    end=("</s>",),
    special=("<s>", "</s>"),
    order="alternate",
)

LLAMA3 = ChatTemplate(
    start="<|begin_of_text|>",
    turns={
        role: Turn(
            prefix=f"<|start_header_id|>{role}<|end_header_id|>\n\n",
            suffix="<|eot_id|>",
            strip="both",
        )
        for role in ("system", "user", "assistant")
    },
    generation="<|start_header_id|>assistant<|end_header_id|>\n\n",
    end=("<|eot_id|>",),
    special=(
        *("<|begin_of_text|>", "<|start_header_id|>"),
        *("<|end_header_id|>", "<|eot_id|>"),
    ),
)

LLAMA31 = dataclasses.replace(
    LLAMA3,
    first_turns={
        "system": Turn(
            prefix="<|start_header_id|>system<|end_header_id|>\n\nCutting "
            "Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
            suffix="<|eot_id|>",
            strip="both",
        )
    },
    default_system="",
)

MISTRAL_V1 = ChatTemplate(
    start="<s>",
    turns={
        "user": Turn(prefix=" [INST] ", suffix=" [/INST]"),
        "assistant": Turn(prefix=" ", suffix="</s>"),
    },
    fold=Fold(),
    generation="",
    end=("</s>",),
    special=("<s>", "</s>"),
    order="alternate",
)

MISTRAL_V3 = dataclasses.replace(
    MISTRAL_V1,
    turns={
        "user": Turn(prefix="[INST] ", suffix="[/INST]"),
        "assistant": Turn(prefix=" ", suffix="</s>", strip="both"),
    },
    fold=Fold(at="last"),
    special=("<s>", "</s>", "[INST]", "[/INST]"),
)

MISTRAL_V3_TEKKEN = dataclasses.replace(
    MISTRAL_V3,
    turns={
        "user": Turn(prefix="[INST]", suffix="[/INST]"),
        "assistant": Turn(suffix="</s>"),
    },
)

GEMMA = ChatTemplate(
    start="<bos>",
    turns={
        "user": Turn(
            prefix="<start_of_turn>user\n",
            suffix="<end_of_turn>\n",
            strip="both",
        ),
        "assistant": Turn(
            prefix="<start_of_turn>model\n",
            suffix="<end_of_turn>\n",
            strip="both",
        ),
    },
    generation="<start_of_turn>model\n",
    end=("<end_of_turn>",),
    special=("<bos>", "<start_of_turn>", "<end_of_turn>"),
    order="alternate",
)

PHI3 = ChatTemplate(
    turns={
        role: Turn(prefix=f"<|{role}|>\n", suffix="<|end|>\n")
        for role in ("system", "user", "assistant")
    },
    generation="<|assistant|>\n",
    closing="<|endoftext|>",
    end=("<|end|>",),
    special=("<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"),
)

PHI4 = ChatTemplate(
    turns={
        role: Turn(prefix=f"<|im_start|>{role}<|im_sep|>", suffix="<|im_end|>")
        for role in ("system", "user", "assistant")
    },
    generation="<|im_start|>assistant<|im_sep|>",
    end=("<|im_end|>",),
    special=("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
)

PHI4_MINI = dataclasses.replace(
    PHI3,
    turns={
        role: Turn(prefix=f"<|{role}|>", suffix="<|end|>")
        for role in ("system", "user", "assistant")
    },
    generation="<|assistant|>",
)

ZEPHYR = ChatTemplate(
    turns={
        role: Turn(prefix=f"<|{role}|>\n", suffix="</s>\n")
        for role in ("system", "user", "assistant")
    },
    generation="<|assistant|>\n",
    end=("</s>",),
    special=("</s>",),
)

TULU = ChatTemplate(
    turns={
        "system": Turn(prefix="<|system|>\n", suffix="\n"),
        "user": Turn(prefix="<|user|>\n", suffix="\n"),
        "assistant": Turn(prefix="<|assistant|>\n", suffix="<|end_of_text|>\n"),
    },
    last_turns={
        "assistant": Turn(prefix="<|assistant|>\n", suffix="<|end_of_text|>")
    },
    generation="<|assistant|>\n",
    end=("<|end_of_text|>",),
    special=("<|end_of_text|>",),
)

HARMONY = ChatTemplate(
    start="<|start|>system<|message|>You are ChatGPT, a large language model "
    "trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: 2025-06-28"
    "\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. "
    "Channel must be included for every message.<|end|>",
    turns={
        **{
            role: Turn(
                prefix="<|start|>developer<|message|># Instructions\n\n",
                suffix="\n\n<|end|>",
            )
            for role in ("system", "developer")
        },
        "user": Turn(prefix="<|start|>user<|message|>", suffix="<|end|>"),
        "assistant": Turn(
            prefix="<|start|>assistant<|channel|>final<|message|>",
            suffix="<|end|>",
        ),
    },
    last_turns={
        "assistant": Turn(
            prefix="<|start|>assistant<|channel|>final<|message|>",
            suffix="<|return|>",
        )
    },
    generation="<|start|>assistant",
    reply_start="<|channel|>final<|message|>",
    end=("<|return|>", "<|call|>"),
    special=(
        *("<|start|>", "<|message|>", "<|channel|>", "<|end|>"),
        *("<|return|>", "<|call|>"),
    ),
    empty_is_none=True,
    order="system_first",
)

TEMPLATES: dict[str, ChatTemplate] = {
    "keras_llm": KERAS_LLM,
    "alpaca": ALPACA,
    **CHATML_TEMPLATES,
    "olmo2": dataclasses.replace(
        TULU.with_text("<|end_of_text|>", "<|endoftext|>"),
        start="<|endoftext|>",
    ),
    "llama2": LLAMA2,
    "llama3": LLAMA3,
    "llama3.1": LLAMA31,
    "mistral_v1": MISTRAL_V1,
    "mistral_v3": MISTRAL_V3,
    "mistral_v3_tekken": MISTRAL_V3_TEKKEN,
    "gemma": GEMMA,
    "gemma3": dataclasses.replace(GEMMA, fold=Fold(strip="both")),
    "phi3": PHI3,
    "phi3.5": dataclasses.replace(PHI3, empty_is_none=True),
    "phi4": PHI4,
    "phi4_mini": PHI4_MINI,
    "zephyr": ZEPHYR,
    "tulu": TULU,
    "harmony": HARMONY,
}
