"""What clients may send: the fields of OpenAI's API that mean something here.

Fields that would change an answer and are not done here are refused by name,
and not dropped: a client that asks for tools should hear that there are none.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_TEXTS = 256  # prompts in one request


def _characters(text: str) -> str:
    """Refuses half of a surrogate pair, which JSON can spell."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("characters that UTF-8 knows") from error
    return text


Text = Annotated[str, AfterValidator(_characters)]
Stop = Annotated[Text, Field(min_length=1, max_length=200)]
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]
Texts = (
    Text
    | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
    | Annotated[list[Id], Field(min_length=1)]
    | Annotated[
        list[Annotated[list[Id], Field(min_length=1)]],
        Field(min_length=1, max_length=MOST_TEXTS),
    ]
)  # one or several, as text or as ids
Zero = Annotated[float, Field(ge=0, le=0)]
SEEDS = Field(default=None, ge=-(2**63), le=2**63 - 1)


class Request(BaseModel):
    """No unknown fields, no numbers in quotes, no infinities."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Request):
    """How a stream is sent."""

    include_usage: bool | None = None


class Sampling(Request):
    """What completions and chats have in common."""

    model: str | None = Field(None, description="the one served, or nothing")
    max_tokens: int | None = Field(None, ge=0, le=2**31 - 1)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=1e-3, le=1e3)
    seed: int | None = SEEDS
    n: int | None = Field(None, ge=1, le=64)
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    user: str | None = Field(None, description="not used")
    metadata: dict[str, str] | None = Field(None, description="not used")
    store: bool | None = Field(None, description="not used")


class CompletionRequest(Sampling):
    """`POST /v1/completions`."""

    prompt: Texts
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=1)


class TextPart(Request):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class Message(Request):
    """A message of a conversation; what is not text has to be null."""

    role: Text
    content: Text | list[TextPart]
    name: str | None = Field(None, description="not used")
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None


class ResponseFormat(Request):
    """Text is the only one."""

    type: Literal["text"]


class ChatRequest(Sampling):
    """`POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    max_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None


class EmbeddingRequest(Request):
    """`POST /v1/embeddings`."""

    model: str | None = None
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: None = None
    user: str | None = Field(None, description="not used")


class TokenizeRequest(Request):
    """`POST /tokenize`."""

    text: Text


class PredictRequest(BaseModel):
    """`POST /v1/models/NAME:predict`, TensorFlow Serving's: one of the two."""

    model_config = ConfigDict(extra="ignore")

    signature_name: str | None = None
    instances: list[Any] | None = None
    inputs: Any = None


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """Every refusal."""

    error: ErrorDetail
