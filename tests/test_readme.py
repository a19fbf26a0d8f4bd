"""The README's commands run as they stand, and print what it says they print."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import DATA, ROOT, shell

BLOCK = re.compile(r"<!-- (run|output|python|file: (?P<name>\S+)) -->\n```\w*\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A marked block of code: what it is, the file it belongs into, its text."""

    mark: str
    name: str | None
    text: str


def blocks() -> list[Block]:
    """All marked blocks, in order."""
    text = (ROOT / "README.md").read_text()
    return [Block(found[1].split(":")[0], found["name"], found["text"]) for found in BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Block, str, str]]:
    """Every marked block carried out in one folder beside data/: block, its output, what the README says it prints."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(DATA, folder / "data")
    outcomes = []
    found = blocks()
    for block, following in zip(found, [*found[1:], Block("", None, "")], strict=True):
        if block.mark == "file":
            assert block.name is not None
            (folder / block.name).write_text(block.text)
        elif block.mark in {"run", "python"}:
            script = block.text if block.mark == "run" else f"python - <<'END'\n{block.text}END\n"
            done = shell(script.replace("| head -3", "| sed -n 1,3p"), folder)
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
            outcomes.append((block, done.stdout, following.text if following.mark == "output" else ""))
    made = {path.name for path in Path(folder).rglob("*") if path.is_file()}
    assert {"gaussian.spikes.h5", "gaussian.spikes.png", "filter.png", "certificate.svg", "from_python.h5"} <= made
    return outcomes


def test_the_commands_print_what_the_readme_says(ran: list[tuple[Block, str, str]]) -> None:
    checked = [(block.text, stdout, expected) for block, stdout, expected in ran if expected]
    assert len(checked) >= 2
    for command, stdout, expected in checked:
        assert stdout == expected, command


def test_every_command_is_shown() -> None:
    text = (ROOT / "README.md").read_text()
    for command in ("recover", "show", "plot", "certify", "score", "inspect", "simulate", "filters", "study"):
        assert f"blasso-flow {command} " in text
