"""The core names arguments, the shell options: no word is on the wrong side, and none lacks its counterpart."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import click
import pytest
from command import DATA, ROOT, run

from blasso_flow import read_result
from blasso_flow.cli.program import SUMMARIES, program
from blasso_flow.cli.words import in_options

PACKAGE = ROOT / "blasso_flow"
CORE = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "cli")
DASKS_OWN = "`dask worker ADDRESS --nthreads 1`"
SAID = {
    "leave out `positive=False`": "leave out --signed",
    "give `overwrite=True` to replace it": "give --force to replace it",
    "received `refit_width=True, refit=False`": "received --refit-width --no-refit",
    "raise `max_rounds=` or `tol=`": "raise --max-rounds or --tol",
    "`method=conic, loss=poisson`; no": "--method conic --loss poisson; no",
    "as `filter=emg:sd=2,tail=3`; see `blasso-flow filters`": "as --filter emg:sd=2,tail=3; see `blasso-flow filters`",
    "received `width_law=0.2,3e-4` and a filter": "received --width-law 0.2,3e-4 and a filter",
    "seed=3/loss=poisson.h5: gaussian:sd=2 is no file": "seed=3/loss=poisson.h5: gaussian:sd=2 is no file",
    "leave out --refit-width": "leave out --refit-width",
}


def texts(path: Path) -> Iterator[str]:
    """Texts of a module that are no docstrings; values put into them appear as 1."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def declared() -> set[str]:
    """Every option of every command."""
    commands = [program.get_command(click.Context(program), name) for name in SUMMARIES]
    found = {option for command in commands if command for one in command.params for option in (*one.opts, *one.secondary_opts)}
    study = program.get_command(click.Context(program), "study")
    assert isinstance(study, click.Group)
    return found | {option for command in study.commands.values() for one in command.params for option in one.opts}


@pytest.mark.parametrize("text", SAID)
def test_arguments_become_options_and_nothing_else_changes(text: str) -> None:
    assert in_options(text) == SAID[text]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_names_no_option(path: Path) -> None:
    assert not re.findall(r"(?<![\w-])--[a-z][\w-]*", path.read_text().replace(DASKS_OWN, ""))


def test_every_argument_that_the_core_names_is_an_option_at_the_shell() -> None:
    mentions = {mention for path in CORE for text in texts(path) for mention in re.findall(r"`[a-z_]+=[^`]*`", text)}
    assert len(mentions) > 20
    named = {option for mention in mentions for option in re.findall(r"--[a-z-]+", in_options(mention))}
    assert named <= declared()


def test_a_result_says_arguments_where_every_line_at_the_shell_says_options(tmp_path: Path) -> None:
    result, log = tmp_path / "r.h5", tmp_path / "log"
    arguments = ["-o", result, "--no-plot", "--max-rounds", 1, "--tol", 1e-14, "--log-json", log, "-v"]
    outcome = run("recover", DATA / "gaussian.h5", *arguments)
    assert outcome.code == 3
    assert "`max_rounds=`" in read_result(result).recovery.channels[0].message
    rows = json.loads(run("show", result, "--channels", "--json").text)["rows"]
    table = next(csv.DictReader(StringIO(run("show", result, "--channels", "--csv").text)))
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    said = [entry["message"] for entry in logged if entry["event"] == "channel"]
    for text in (*outcome.stderr.splitlines()[-1:], rows[0]["message"], table["message"], *said):
        assert "raise --max-rounds or --tol" in text
    assert len(said) == 1
    assert "`" not in outcome.stderr
