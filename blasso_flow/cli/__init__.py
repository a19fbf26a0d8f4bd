"""The command line: one file a command, with nothing in it but options, messages and the order of calls.

A command's file imports click only; what it works with is imported inside the command, so that `--help` stays instant.
Exit codes and the one line an error prints are in `outcome`, shared options in `options`.
"""

from __future__ import annotations


def main() -> None:
    """Run the command `blasso-flow`; ends the process with a documented exit code."""
    import gc

    from blasso_flow.cli.outcome import hide_unheard_signals
    from blasso_flow.cli.program import program

    hide_unheard_signals()
    # Imports and kernels leave half a million objects that stay. To search them for garbage, while there are more and more of
    # them and again at the end, would be a third of a short run.
    gc.set_threshold(100_000)
    try:
        program.main()
    finally:
        gc.freeze()
