# TensorFlow as Any: the stubs that pyright brings know neither the operators
# of tensors nor ragged tensors, so that right code looks wrong.
from typing import Any

def __getattr__(name: str) -> Any: ...
