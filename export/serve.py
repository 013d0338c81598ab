"""A small text endpoint over an exported SavedModel.

The addresses and shapes are TensorFlow Serving's, so that a client does not
notice when that takes over; `POST /generate` is there for people.
"""

import json
import os
import socket
from typing import Annotated, Any

from keras_llm.errors import InputError

ADDRESSES = {
    "POST /generate": '{"prompt": "...", "max_new_tokens": 64, '
    '"temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0, "seed": 0}; '
    "all but the prompt may be left out",
    "POST /v1/models/<name>:predict": '{"instances": ["...", "..."]}; with '
    '"signature_name" also generate, score, tokenize, detokenize',
    "GET /v1/models/<name>": "whether the model is ready, and its version",
    "GET /health": "whether the server is up",
}


def serve(
    path: str | os.PathLike, host: str = "127.0.0.1", port: int = 8000
) -> None:
    """Serves an exported SavedModel over HTTP until it is interrupted.

    It has no authentication: behind anything but your own machine, put a
    gateway in front.

    Args:
        path: The folder that `saved_model` wrote to; the newest version is
            served.
        host: Address to listen on. Default: this machine only.
        port: Port to listen on.

    Raises:
        InputError: No SavedModel is there, the port is no port or taken, or
            FastAPI or uvicorn is not installed.

    Example:

    >>> serve("model", port=-1)
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a port from 0 to 65535. ...
    """
    if not 0 <= port <= 65535:
        raise InputError(f"Expected a port from 0 to 65535. Received: {port}.")
    uvicorn = _libraries()[1]
    _check_free(host, port)
    uvicorn.run(create_app(path), host=host, port=port)


def _check_free(host: str, port: int) -> None:
    """uvicorn would load the model first, and then end without a sentence."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
    except OSError as error:
        raise InputError(
            f"Expected to listen on {host}, port {port}. Received: "
            f"{error.strerror}. Stop what listens there, or choose another "
            "port or address."
        ) from error


def create_app(path: str | os.PathLike) -> Any:
    """Returns the FastAPI application that `serve` runs.

    Requests that cannot be answered get `{"error": "a sentence"}` with a
    status of 400, 404 or 405. Requests run side by side.

    Args:
        path: The folder that `saved_model` wrote to.

    Raises:
        InputError: No SavedModel is there, or FastAPI is not installed.

    Example:

    >>> create_app("nowhere")
    Traceback (most recent call last):
    keras_llm.errors.InputError: Expected a SavedModel written by ...
    """
    fastapi = _libraries()[0]
    from keras_llm.export.served import ServedModel

    model = ServedModel(path)
    app = fastapi.FastAPI(title=model.name, version=str(model.version))
    _answer_mistakes(app, fastapi)

    # Whatever the content type, as TensorFlow Serving: `curl -d` sends none.
    async def read(request: fastapi.Request) -> dict[str, Any]:  # type: ignore
        return _object(await request.body())

    body = Annotated[dict[str, Any], fastapi.Depends(read)]

    @app.get("/")
    def index() -> dict[str, str]:
        return ADDRESSES | {"name": model.name}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models/{name}")
    def status(name: str) -> dict[str, Any]:
        _check_name(model, name, fastapi)
        state = {"version": str(model.version), "state": "AVAILABLE"}
        fine = {"error_code": "OK", "error_message": ""}
        return {"model_version_status": [state | {"status": fine}]}

    # Not `async`: FastAPI then runs each request in a thread of its own.
    @app.post("/v1/models/{name}:predict")
    def predict(name: str, request: body) -> dict[str, Any]:  # type: ignore
        _check_name(model, name, fastapi)
        return model.predict(request)

    @app.post("/generate")
    def generate(request: body) -> dict[str, Any]:  # type: ignore
        return model.generate(request)

    return app


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise InputError(
            f"Expected a JSON object. Received: {error}."
        ) from error
    if not isinstance(found, dict):
        raise InputError(
            f"Expected a JSON object. Received: {type(found).__name__}."
        )
    return found


def _check_name(model: Any, name: str, fastapi: Any) -> None:
    if name != model.name:
        raise fastapi.HTTPException(
            404, f"Expected the model {model.name!r}. Received: {name!r}."
        )


def _answer_mistakes(app: Any, fastapi: Any) -> None:
    """Every mistake in a request is answered by a sentence as JSON."""
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException

    @app.exception_handler(InputError)
    def mistake(request: Any, error: InputError) -> Any:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(HTTPException)
    def refused(request: Any, error: HTTPException) -> Any:
        message = str(error.detail)
        if message in ("Not Found", "Method Not Allowed"):
            message = (
                f"Expected one of: {', '.join(ADDRESSES)}. Received: "
                f"{request.method} {request.url.path}."
            )
        return JSONResponse({"error": message}, error.status_code)


def _libraries() -> tuple[Any, Any]:
    try:
        import fastapi
        import uvicorn
    except ImportError as error:
        raise InputError(
            "Expected FastAPI and uvicorn to serve with. Received: "
            f'{error}. Install them: pip install "keras_llm[serve]"'
        ) from error
    return fastapi, uvicorn
