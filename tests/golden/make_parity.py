"""Writes the golden checkpoints that test_parity.py reads without torch.

Run it by hand with torch and transformers installed, from any folder:
`python tests/golden/make_parity.py`. Each folder parity_NAME gets
config.json and model.safetensors, as `transformers` writes them, and
logits.npz with `tokens` and `logits`.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peers import GOLDEN, TOKENS, peer_logits, random_model  # noqa: E402


def main() -> None:
    for name in GOLDEN:
        folder = HERE / f"parity_{name}"
        model = random_model(name)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink()
        np.savez_compressed(
            folder / "logits.npz", tokens=TOKENS, logits=peer_logits(model)
        )


if __name__ == "__main__":
    main()
