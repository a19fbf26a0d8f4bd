"""The commands of docs/recordings.md run as they stand, and its figures are there."""

from __future__ import annotations

import re
from pathlib import Path

from command import ROOT, shell
from test_readme import BLOCK


def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "recordings.md").read_text()
    found = [(block[1], block["text"]) for block in BLOCK.finditer(text)]
    assert len(found) >= 9
    for mark, block in found:
        script = block if mark == "run" else f"python - <<'END'\n{block}END\n"
        done = shell(script, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    figures = re.findall(r"\]\(recordings_(\w+)\.png\)", text)
    assert len(figures) == 6
    for name in figures:
        assert (tmp_path / f"{name}.spikes.png").exists()
        assert (ROOT / "docs" / f"recordings_{name}.png").stat().st_size < 200_000
