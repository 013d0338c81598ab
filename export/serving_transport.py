"""How a request reaches a server: JSON over HTTP, or protos over gRPC."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, Protocol
from urllib.parse import quote, urlsplit

from keras_llm.errors import InputError

Columns = dict[str, list]
PREFIXES = ("http://", "https://", "grpc://", "grpcs://")


class Target(NamedTuple):
    """Which model to ask, and how.

    Attributes:
        address: Begins with one of `PREFIXES`.
        model: The model's name.
        version: One of its versions; None for the server's choice.
        timeout: Seconds for a request.
        token: A bearer token; None for none.
    """

    address: str
    model: str
    version: int | None
    timeout: float
    token: str | None


class Transport(Protocol):
    """What a client needs of a server."""

    def predict(self, signature: str, columns: Mapping[str, list]) -> Columns:
        """Runs a signature on lists of rows."""
        ...

    def signatures(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of `inputs` and `outputs` of every signature."""
        ...

    def status(self) -> dict[int, str]:
        """Returns the state of every version that the server knows."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class RestTransport:
    """JSON over HTTP, as TensorFlow Serving's REST interface has it.

    Args:
        target: With the address `http://host:port` or `https://...`.
    """

    def __init__(self, target: Target):
        root = target.address.rstrip("/")
        self._path = f"{root}/v1/models/{quote(target.model, safe='')}"
        if target.version is not None:
            self._path += f"/versions/{target.version}"
        self._timeout = target.timeout
        self._headers = {"Content-Type": "application/json"}
        if target.token is not None:
            self._headers["Authorization"] = f"Bearer {target.token}"
        self._outputs: dict[str, list[str]] = {}

    def predict(self, signature: str, columns: Mapping[str, list]) -> Columns:
        """Runs a signature on lists of rows."""
        request = {"signature_name": signature, "inputs": dict(columns)}
        found = self._ask(f"{self._path}:predict", request)["outputs"]
        if isinstance(found, dict):
            return found
        if not self._outputs:
            named = self.signatures().items()
            self._outputs = {name: each["outputs"] for name, each in named}
        (name,) = self._outputs[signature]  # a lone output comes bare
        return {name: found}

    def signatures(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of `inputs` and `outputs` of every signature."""
        found = self._ask(f"{self._path}/metadata")["metadata"]
        found = found["signature_def"]["signature_def"]
        return {
            name: {part: list(each[part]) for part in ("inputs", "outputs")}
            for name, each in found.items()
            if not name.startswith("__")
        }

    def status(self) -> dict[int, str]:
        """Returns the state of every version that the server knows."""
        found = self._ask(self._path)["model_version_status"]
        return {int(each["version"]): each["state"] for each in found}

    def close(self) -> None:
        """Nothing stays open between two requests."""

    def _ask(self, address: str, body: Any = None) -> dict[str, Any]:
        try:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(address, data, self._headers)
            with urllib.request.urlopen(
                request, timeout=self._timeout
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                fail(error.code, _sentence(error.read()))
        except TimeoutError as error:
            raise _late(address, self._timeout) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _late(address, self._timeout) from error
            raise ConnectionError(
                f"Expected a server at {address}. Received: {reason}."
            ) from error
        except ValueError as error:
            raise RuntimeError(
                f"Expected JSON from {address}. Received: {error}."
            ) from error


class GrpcTransport:
    """Protos over gRPC, by the stubs of `tensorflow-serving-api`.

    Args:
        target: With the address `grpc://host:port`, or `grpcs://...` for TLS.
    """

    def __init__(self, target: Target):
        self._grpc = _libraries()
        self._channel = self._opened(target.address)
        self._address, self._timeout = target.address, target.timeout
        self._spec: dict[str, Any] = {"name": target.model}
        if target.version is not None:
            self._spec["version"] = {"value": target.version}
        bearer = ("authorization", f"Bearer {target.token}")
        self._metadata = [bearer] if target.token is not None else []
        self._kinds: dict[str, dict[str, int]] = {}

    def predict(self, signature: str, columns: Mapping[str, list]) -> Columns:
        """Runs a signature on lists of rows."""
        import tensorflow as tf
        from tensorflow_serving.apis import (
            predict_pb2,
            prediction_service_pb2_grpc,
        )

        self.signatures()  # gRPC wants to know of each value what it is
        request = predict_pb2.PredictRequest(
            model_spec=self._spec | {"signature_name": signature}
        )
        for name, rows in columns.items():
            kind = self._kinds[signature][name]
            try:
                value = tf.make_tensor_proto(rows, kind)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"Expected {name} to be rows of {tf.as_dtype(kind).name}, "
                    f"equally wide. Received: {rows!r:.60}."
                ) from error
            request.inputs[name].CopyFrom(value)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        found = self._ask(stub.Predict, request).outputs
        return {name: _rows(tf.make_ndarray(found[name])) for name in found}

    def signatures(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of `inputs` and `outputs` of every signature."""
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            prediction_service_pb2_grpc,
        )

        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        if not self._kinds:
            found = self._ask(stub.GetModelMetadata, request)
            self._known = get_model_metadata_pb2.SignatureDefMap()
            found.metadata["signature_def"].Unpack(self._known)
            self._kinds = {
                name: {key: info.dtype for key, info in each.inputs.items()}
                for name, each in self._known.signature_def.items()
            }
        return {
            name: {"inputs": list(each.inputs), "outputs": list(each.outputs)}
            for name, each in self._known.signature_def.items()
            if not name.startswith("__")
        }

    def status(self) -> dict[int, str]:
        """Returns the state of every version that the server knows."""
        from tensorflow_serving.apis import (
            get_model_status_pb2,
            model_service_pb2_grpc,
        )

        stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        request = get_model_status_pb2.GetModelStatusRequest(
            model_spec=self._spec
        )
        found = self._ask(stub.GetModelStatus, request).model_version_status
        states = get_model_status_pb2.ModelVersionStatus.State
        return {each.version: states.Name(each.state) for each in found}

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _opened(self, address: str) -> Any:
        parts, sizes = urlsplit(address), ("send", "receive")
        options = [(f"grpc.max_{each}_message_length", -1) for each in sizes]
        if parts.scheme == "grpcs":
            safe = self._grpc.ssl_channel_credentials()
            return self._grpc.secure_channel(parts.netloc, safe, options)
        return self._grpc.insecure_channel(parts.netloc, options)

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except self._grpc.RpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                raise _late(self._address, self._timeout) from error
            status = {
                "INVALID_ARGUMENT": 400,
                "FAILED_PRECONDITION": 400,
                "UNAUTHENTICATED": 401,
                "PERMISSION_DENIED": 403,
                "NOT_FOUND": 404,
                "RESOURCE_EXHAUSTED": 429,
                "UNAVAILABLE": 503,
            }
            fail(status.get(code, 500), f"{code}: {error.details()}")


def fail(status: int, message: str) -> NoReturn:
    """Raises what a server's refusal means to its client.

    Raises:
        InputError: The request is wrong (a status of 400 to 428).
        TimeoutError: The server took too long.
        ConnectionError: The server has too much to do.
        RuntimeError: It failed.
    """
    if status < 429:
        raise InputError(f"The server refuses: {message}")
    if status == 504:
        raise TimeoutError(f"The server took too long: {message}")
    if status in (429, 503):
        raise ConnectionError(f"The server takes no more now: {message}")
    raise RuntimeError(f"The server failed with {status}: {message}")


def _sentence(content: bytes) -> str:
    """What a refusal says: TensorFlow Serving's JSON, or whatever came."""
    text = content.decode("utf-8", errors="replace")
    try:
        found = json.loads(text)["error"]
        return str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        return text[:300] or "no reason given"


def _late(address: str, timeout: float) -> TimeoutError:
    return TimeoutError(
        f"Expected an answer of {address} within {timeout:g} s. Received: "
        "none. Ask for fewer tokens, or give the client a longer timeout."
    )


def _rows(array: Any) -> list:
    """Strings as text, all else as Python's numbers."""
    if array.dtype == object:
        return [row.decode("utf-8") for row in array]
    return array.tolist()


def _libraries() -> Any:
    try:
        import grpc
        import tensorflow_serving.apis.predict_pb2  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Expected grpcio and tensorflow-serving-api to speak gRPC with. "
            f"Received: {error}. Install them: pip install "
            '"keras_llm[serving]", or use an http:// address.'
        ) from error
    return grpc
