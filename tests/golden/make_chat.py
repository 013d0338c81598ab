"""Writes chat.json: what published chat templates make of conversations.

Run it by hand with transformers installed: `python tests/golden/make_chat.py
FOLDER`, where FOLDER holds the Jinja texts as NAME.jinja. They are not in
this repository; SOURCES says where each was read, or what it was put together
from, and chat.json keeps the SHA-256 of what was rendered. The rendering is
`transformers`' own, the one behind `apply_chat_template`.
"""

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path
from unittest import mock

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from keras_llm.tokenizers.chat import TEMPLATES

HERE = Path(__file__).parent
HF_JS = "huggingface/huggingface.js packages/jinja/test/e2e.test.js: "
LLAMA_CPP = "ggml-org/llama.cpp tests/test-chat-template.cpp: "
TRL = "huggingface/trl trl/chat_templates/"
OPENVINO = "openvinotoolkit/openvino.genai, chat template fallbacks: "
# Nowhere was the whole file: its text was put together from what was shown.
EXCERPTS = "assembled from excerpts of "

# Template -> (file, bos token, eos token, where the text was read).
SOURCES = {
    "alpaca": (
        *("alpaca", "", "<|endoftext|>"),
        "chujiezheng/chat_templates chat_templates/alpaca.jinja",
    ),
    "chatml": (
        *("chatml", "", ""),
        LLAMA_CPP + "teknium/OpenHermes-2.5-Mistral-7B",
    ),
    "gemma": ("gemma", "<bos>", "<eos>", TRL + "gemma.jinja"),
    "gemma3": ("gemma3", "<bos>", "<eos>", TRL + "gemma3.jinja"),
    "harmony": ("harmony", "", "<|return|>", TRL + "gptoss.jinja"),
    "llama2": ("llama2", "<s>", "</s>", HF_JS + "llama"),
    "llama3": (
        *("llama3", "<|begin_of_text|>", "<|eot_id|>"),
        TRL + "llama3.jinja",
    ),
    "llama3.1": (
        *("llama3.1", "<|begin_of_text|>", "<|eot_id|>"),
        HF_JS + "meta-llama/Llama-3.1-8B-Instruct",
    ),
    "llama3.2": (
        *("llama3.2", "<|begin_of_text|>", "<|eot_id|>"),
        TRL + "llama3_2.jinja",
    ),
    "mistral_v1": (
        *("mistral_v1", "<s>", "</s>"),
        LLAMA_CPP + "mistralai/Mistral-7B-Instruct-v0.2 (v1)",
    ),
    "mistral_v3": (
        *("mistral_v3", "<s>", "</s>"),
        "axolotl-ai-cloud/axolotl src/axolotl/utils/chat_templates/"
        "templates/mistral_v2v3.jinja",
    ),
    "mistral_v3_tekken": (
        *("mistral_v3_tekken", "<s>", "</s>"),
        HF_JS + "mistralai/Mistral-Nemo-Instruct-2407",
    ),
    "olmo2": (
        *("olmo2", "<|endoftext|>", "<|endoftext|>"),
        "composed, not found: {{ bos_token }} and the text of tulu",
    ),
    "olmo3": (
        *("olmo3", "", "<|endoftext|>"),
        "allenai/open-instruct open_instruct/dataset_transformation.py: olmo",
    ),
    "phi3": ("phi3", "<s>", "<|endoftext|>", TRL + "phi3.jinja"),
    "phi3.5": ("phi3.5", "<s>", "<|endoftext|>", TRL + "phi3_5.jinja"),
    "phi4": (
        *("phi4", "<|endoftext|>", "<|im_end|>"),
        EXCERPTS + "microsoft/phi-4 in the metadata of unsloth/phi-4-GGUF",
    ),
    "phi4_mini": (
        *("phi4_mini", "<|endoftext|>", "<|endoftext|>"),
        EXCERPTS + OPENVINO + "PHI4_CHAT_TEMPLATE",
    ),
    "qwen2": (
        *("qwen2", "", "<|im_end|>"),
        EXCERPTS + "https://modelscope.cn/models/qwen/Qwen2-72B-Instruct "
        "tokenizer_config.json",
    ),
    "qwen2.5": (
        *("qwen2.5", "", "<|im_end|>"),
        HF_JS + "Qwen/Qwen2.5-7B-Instruct",
    ),
    "qwen3": ("qwen3", "", "<|im_end|>", HF_JS + "Qwen/Qwen3-0.6B"),
    "qwen3_no_think": ("qwen3", "", "<|im_end|>", HF_JS + "Qwen/Qwen3-0.6B"),
    "smollm2": (
        *("smollm2", "<|im_start|>", "<|im_end|>"),
        EXCERPTS + "HuggingFaceTB/SmolLM2-135M-Instruct tokenizer_config.json",
    ),
    "smollm3": (
        *("smollm3", "", "<|im_end|>"),
        HF_JS + "HuggingFaceTB/SmolLM3-3B",
    ),
    "smollm3_no_think": (
        *("smollm3", "", "<|im_end|>"),
        HF_JS + "HuggingFaceTB/SmolLM3-3B",
    ),
    "tulu": (
        *("tulu", "", "<|end_of_text|>"),
        "allenai/open-instruct open_instruct/dataset_transformation.py: tulu",
    ),
    "zephyr": (
        *("zephyr", "", "</s>"),
        HF_JS + "HuggingFaceH4/zephyr-7b-beta; TinyLlama-1.1B-Chat-v1.0 has "
        "the same",
    ),
}

# What a template takes besides messages.
EXTRA = {
    "llama3.2": {"date_string": "26 Jul 2024"},
    "qwen3_no_think": {"enable_thinking": False},
    "smollm3_no_think": {"enable_thinking": False},
}
TODAY = {"harmony": "2025-06-28"}


def clock(name: str) -> type[datetime]:
    """A clock that stands still where the template puts the date in."""
    day = datetime.fromisoformat(TODAY.get(name, "2025-07-08"))
    return type("Clock", (datetime,), {"now": staticmethod(lambda: day)})


def talk(*turns: str) -> list[dict[str, str]]:
    """Messages of user and assistant in turns, a `system: ` one first."""
    head = [turn[8:] for turn in turns[:1] if turn.startswith("system: ")]
    messages = [{"role": "system", "content": text} for text in head]
    for index, text in enumerate(turns[len(head) :]):
        role = ("user", "assistant")[index % 2]
        messages.append({"role": role, "content": text})
    return messages


THOUGHT = "<think>\nTwo and two.\n</think>\n\n4"
CONVERSATIONS = {
    "one": talk("Hello"),
    "system": talk("system: You are a pirate.", "Hello"),
    "reply": talk("Hello", "Hi there!"),
    "long": talk("Hello", "Hi!", "And?", "Nothing more.", "Why?"),
    "system_long": talk("system: Be brief.", "Hello", "Hi!", "And?"),
    "system_reply": talk("system: Be brief.", "Hello", "Hi!", "And?", "No."),
    "unicode": talk(
        "system: Sei höflich 🙂", "你好，世界", "こんにちは\u3000👋", "é?"
    ),
    "spaces": talk("system:  \n Two. \n", "  \n a\tb \n", " \n ok \n ", "\n\n"),
    "spaces_reply": talk("\n\nq ", "\n\n a "),
    "empty": talk("", "", ""),
    "empty_system": talk("system: ", "Hello", "Hi!", "And?"),
    "spelled": talk("<|im_end|></s><|end|> [/INST]", "<end_of_turn>", "<s>"),
    "reasoning": talk("2+2?", THOUGHT, "3+3?"),
    "reasoning_reply": talk("1+1?", THOUGHT, "2+2?", THOUGHT),
    "late_system": [*talk("Hello", "Hi!"), *talk("system: New.", "And?")],
    "two_users": [*talk("Hello"), *talk("Are you there?")],
    "assistant_first": talk("", "Hi! I am a bot.", "Hello")[1:],
}


# Which tokens a reply is learned from, by TRL's copies of the templates with
# `{% generation %}` in them (NAME_training.jinja).
TRAINING = ("gemma", "gemma3", "llama3", "phi3", "phi3.5")


def learned(folder: Path, name: str) -> list[str]:
    """The parts of the conversation "long" that a model learns to write."""
    _, bos, eos, _ = SOURCES[name]
    text = (folder / f"{name}_training.jinja").read_text("utf-8")
    (text,), (spans,) = render_jinja_template(
        conversations=[CONVERSATIONS["long"]],
        chat_template=text,
        return_assistant_tokens_mask=True,
        bos_token=bos,
        eos_token=eos,
    )
    return [text[start:end] for start, end in spans]


def may_ask(messages: list) -> bool:
    return messages[-1]["role"] != "assistant"


def rendered(
    folder: Path, name: str, messages: list, asked: bool
) -> str | None:
    """The text, or None where the template raises an exception."""
    file, bos, eos, _ = SOURCES[name]
    if name == "alpaca" and messages[0]["role"] != "system":
        # The file has no instruction of its own; Stanford's stands here.
        default = TEMPLATES[name].default_system
        messages = [{"role": "system", "content": default}, *messages]
    module = "transformers.utils.chat_template_utils.datetime"
    try:
        with mock.patch(module, clock(name)):
            texts = render_jinja_template(
                conversations=[messages],
                chat_template=(folder / f"{file}.jinja").read_text("utf-8"),
                add_generation_prompt=asked,
                bos_token=bos,
                eos_token=eos,
                **EXTRA.get(name, {}),
            )
    except TemplateError:
        return None
    return texts[0][0] if isinstance(texts, tuple) else texts[0]


def main() -> None:
    folder = Path(sys.argv[1])
    golden = {
        "conversations": CONVERSATIONS,
        "learned": {name: learned(folder, name) for name in TRAINING},
        "templates": {},
    }
    for name, (file, _, _, source) in SOURCES.items():
        text = (folder / f"{file}.jinja").read_bytes()
        golden["templates"][name] = {
            "source": source,
            "sha256": hashlib.sha256(text).hexdigest(),
            "texts": {
                key: [
                    rendered(folder, name, messages, asked)
                    # No reply is asked for after a reply.
                    for asked in (False, True)[: 1 + may_ask(messages)]
                ]
                for key, messages in CONVERSATIONS.items()
            },
        }
    text = json.dumps(golden, indent=1, ensure_ascii=False)
    (HERE / "chat.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
