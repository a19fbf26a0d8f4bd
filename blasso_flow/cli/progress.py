"""Progress on standard error, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from blasso_flow.recovery import ChannelRecovery

OnChannel = Callable[[int, "ChannelRecovery"], None]


@contextmanager
def channel_progress(channels: int, name: str, *, shown: bool) -> Iterator[OnChannel | None]:
    """A callback that moves the bar by one channel; None when there is no bar to move."""
    if not (shown and channels > 1 and sys.stderr.isatty()):
        yield None
        return
    with click.progressbar(length=channels, label=name, file=sys.stderr, show_pos=True) as bar:

        def on_channel(number: int, recovery: ChannelRecovery) -> None:
            bar.update(1)

        yield on_channel
