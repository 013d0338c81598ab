"""Chat templates around ChatML's two tokens: Qwen, SmolLM and OLMo 3."""

import dataclasses

from keras_llm.tokenizers.chat_template import ChatTemplate
from keras_llm.tokenizers.chat_turns import Turn

CHATML = ChatTemplate(
    turns={
        "system": Turn(prefix="<|im_start|>system\n", suffix="<|im_end|>\n"),
        "user": Turn(prefix="<|im_start|>user\n", suffix="<|im_end|>\n"),
        "assistant": Turn(
            prefix="<|im_start|>assistant\n", suffix="<|im_end|>\n"
        ),
    },
    generation="<|im_start|>assistant\n",
    end=("<|im_end|>",),
    special=("<|im_start|>", "<|im_end|>"),
)

QWEN3 = dataclasses.replace(
    CHATML,
    last_turns={
        "assistant": Turn(
            prefix="<|im_start|>assistant\n<think>\n\n</think>\n\n",
            suffix="<|im_end|>\n",
            strip="newlines",
        )
    },
    reasoning_end="</think>",
)

SMOLLM3 = dataclasses.replace(
    CHATML,
    turns={
        **CHATML.turns,
        "system": Turn(
            prefix="<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: "
            "June 2025\nToday Date: 08 July 2025\nReasoning Mode: /think\n\n"
            "## Custom Instructions\n\n",
            suffix="\n\n",
            strip="end",
        ),
        "assistant": Turn(
            prefix="<|im_start|>assistant\n",
            suffix="<|im_end|>\n",
            strip="newlines",
        ),
    },
    default_system="You are a helpful AI assistant named SmolLM, trained by "
    "Hugging Face. Your role as an assistant involves thoroughly exploring "
    "questions through a systematic thinking process before providing the "
    "final precise and accurate solutions. This requires engaging in a "
    "comprehensive cycle of analysis, summarizing, exploration, reassessment, "
    "reflection, backtracking, and iteration to develop well-considered "
    "thinking process. Please structure your response into two main sections: "
    "Thought and Solution using the specified format: <think> Thought section "
    "</think> Solution section. In the Thought section, detail your reasoning "
    "process in steps. Each step should include detailed considerations such "
    "as analysing questions, summarizing relevant findings, brainstorming new "
    "ideas, verifying the accuracy of the current steps, refining any errors, "
    "and revisiting previous steps. In the Solution section, based on various "
    "attempts, explorations, and reflections from the Thought section, "
    "systematically present the final solution that you deem correct. The "
    "Solution section should be logical, accurate, and concise and detail "
    "necessary steps needed to reach the conclusion.",
    empty_is_none=True,
    order="system_first",
)

_QUICK = SMOLLM3.with_text(
    "Reasoning Mode: /think", "Reasoning Mode: /no_think"
)
SMOLLM3_NO_THINK = dataclasses.replace(
    _QUICK,
    turns={
        **_QUICK.turns,
        "assistant": Turn(
            prefix="<|im_start|>assistant\n<think>\n\n</think>\n",
            suffix="<|im_end|>\n",
            strip="newlines",
        ),
    },
    generation="<|im_start|>assistant\n<think>\n\n</think>\n",
    default_system="You are a helpful AI assistant named SmolLM, trained by "
    "Hugging Face.",
)

OLMO3 = dataclasses.replace(
    CHATML,
    turns={
        **CHATML.turns,
        "system": Turn(
            prefix="<|im_start|>system\n",
            suffix=" You do not currently have access to any functions. "
            "<functions></functions><|im_end|>\n",
        ),
    },
    last_turns={
        "assistant": Turn(
            prefix="<|im_start|>assistant\n", suffix="<|endoftext|>"
        )
    },
    end=("<|im_end|>", "<|endoftext|>"),
    special=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    default_system="You are OLMo, a helpful function-calling AI assistant "
    "built by Ai2. Your date cutoff is November 2024, and your model weights "
    "are available at https://huggingface.co/allenai.",
    order="system_first",
)

CHATML_TEMPLATES: dict[str, ChatTemplate] = {
    "chatml": CHATML,
    "qwen2": dataclasses.replace(
        CHATML, default_system="You are a helpful assistant."
    ),
    "qwen2.5": dataclasses.replace(
        CHATML,
        default_system="You are Qwen, created by Alibaba Cloud. You are a "
        "helpful assistant.",
    ),
    "qwen3": QWEN3,
    "qwen3_no_think": dataclasses.replace(
        QWEN3,
        generation="<|im_start|>assistant\n<think>\n\n</think>\n\n",
    ),
    "smollm2": dataclasses.replace(
        CHATML,
        default_system="You are a helpful AI assistant named SmolLM, trained "
        "by Hugging Face",
    ),
    "smollm3": SMOLLM3,
    "smollm3_no_think": SMOLLM3_NO_THINK,
    "olmo3": OLMO3,
}
