"""Draw the figures of the README's page on the method anew: run the studies, then keep their figures small.

python docs/study_figures.py [STUDY ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FIGURES = Path(__file__).parents[1] / "data" / "figures"
STUDIES = ("trajectory", "support", "limit", "overparameterization", "network")
COLOURS = 200
WIDTH = 1000


def main() -> None:
    """Run every study at full size in a folder of its own."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for study in sys.argv[1:] or STUDIES:
            command = [sys.executable, "-m", "blasso_flow", "study", study, "-o", f"{folder}/{study}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            shrink(Path(folder) / f"{study}.png")


def shrink(drawn: Path) -> None:
    """Store a figure with few colours and of moderate width."""
    image = Image.open(drawn).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.quantize(COLOURS).save(FIGURES / drawn.name, optimize=True)


if __name__ == "__main__":
    main()
