"""Progress on standard error, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from blasso_flow.recovery import ChannelRecovery
    from blasso_flow.spikes import TraceRow

PATIENCE = 1.0  # seconds before a single channel says how far it is

PARTS = 1000  # of a bar of shares

Callbacks = dict[str, Callable[..., None]]


@contextmanager
def progress(channels: int, name: str, *, shown: bool) -> Iterator[Callbacks]:
    """Callbacks for `recover`: a bar of channels, or the rounds of a single channel that takes its time; none to a pipe."""
    if not (shown and sys.stderr.isatty()):
        yield {}
    elif channels > 1:
        with click.progressbar(length=channels, label=name, file=sys.stderr, show_pos=True) as bar:

            def on_channel(number: int, recovery: ChannelRecovery) -> None:
                bar.update(1)

            yield {"on_channel": on_channel}
    else:
        yield from _rounds(name)


@contextmanager
def share_bar(name: str, *, shown: bool) -> Iterator[Callable[[float], None]]:
    """A function that moves a bar to a share of the work between 0 and 1, with the time left; silent to a pipe."""
    if not (shown and sys.stderr.isatty()):
        yield lambda share: None
        return
    with click.progressbar(length=PARTS, label=name, file=sys.stderr, show_eta=True) as bar:
        yield lambda share: bar.update(max(0, round(share * PARTS) - bar.pos))


def _rounds(name: str) -> Iterator[Callbacks]:
    begun = monotonic()
    written = 0

    def on_round(number: int, row: TraceRow) -> None:
        nonlocal written
        if monotonic() - begun > PATIENCE:
            line = f"{name}: round {row.round}, {row.spikes} spikes, gap {row.gap:.1e}"
            click.echo("\r" + line.ljust(written), nl=False, err=True)
            written = len(line)

    try:
        yield {"on_round": on_round}
    finally:
        if written:
            click.echo("\r" + " " * written + "\r", nl=False, err=True)
