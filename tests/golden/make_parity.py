"""Writes the golden files that test_parity.py reads without torch.

Run it by hand with torch and transformers installed, from any folder:
`python tests/golden/make_parity.py [FAMILY ...]`; without names, all.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from families import FAMILIES  # noqa: E402
from peers import peer_model, write_golden  # noqa: E402


def main(names: list[str]) -> None:
    for family in names or FAMILIES:
        with tempfile.TemporaryDirectory() as temporary:
            folders = {v: Path(temporary) / v for v in FAMILIES[family]}
            write_golden(
                family,
                {
                    variant: (folder, peer_model(family, variant, folder))
                    for variant, folder in folders.items()
                },
            )


if __name__ == "__main__":
    main(sys.argv[1:])
