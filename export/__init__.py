"""Export: everything that leaves Keras, each checked before it is announced.

`saved_model` for TensorFlow servers, `litert` for phones, `hugging_face` for
`transformers`, `serve` for a server over any of them with OpenAI's API and
TensorFlow Serving's. Imported on first use: they are heavy.
"""

import importlib
from typing import Any

_PUBLIC = {
    "ClassifierReport": "classifier_export",
    "HuggingFaceReport": "hugging_face_export",
    "LitertReport": "litert_report",
    "LitertRunner": "litert_runner",
    "SavedModelReport": "saved_model_export",
    "ServeSettings": "server.settings",
    "ServingClient": "serving_client",
    "StorageRow": "storage_table",
    "classifier": "classifier_export",
    "classifier_litert": "classifier_tflite",
    "compare_storages": "storage_compare",
    "create_app": "server.app",
    "hugging_face": "hugging_face_export",
    "litert": "litert_export",
    "open_bundle": "litert_open",
    "saved_model": "saved_model_export",
    "serve": "server.app",
    "versions": "saved_model_export",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name in _PUBLIC:
        module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
