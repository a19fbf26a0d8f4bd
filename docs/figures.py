"""Draw the figures of recordings.md anew: run its commands in an empty folder and keep what `recover` drew, made small.

python docs/figures.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
BLOCK = re.compile(r"<!-- (run|python) -->\n```\w*\n(.*?)```", re.DOTALL)
COLOURS = 128
WIDTH = 900


def main() -> None:
    """Run every block, then shrink the figures that the page shows into this folder."""
    page = (DOCS / "recordings.md").read_text()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        for mark, text in BLOCK.findall(page):
            script = text if mark == "run" else f"python - <<'END'\n{text}END\n"
            subprocess.run(["bash", "-ec", script], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        for drawn in sorted(Path(folder).glob("*.spikes.png")):
            target = DOCS / f"recordings_{drawn.name.removesuffix('.spikes.png')}.png"
            if f"({target.name})" not in page:
                continue
            image = Image.open(drawn).convert("RGB")
            image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
            image.quantize(COLOURS).save(target, optimize=True)


if __name__ == "__main__":
    main()
