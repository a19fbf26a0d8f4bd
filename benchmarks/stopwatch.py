"""Where CPU time goes: functions replaced for a while by others that keep their time. Nothing in the package changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from time import process_time
from typing import Any
from unittest.mock import patch

Place = tuple[object, str, str]  # module or class, name of the function there, the part that its time goes to


class Stopwatch:
    """CPU seconds by part, of one thread. A timed function that another calls counts as a part of that one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running = False

    @contextmanager
    def on(self, places: Iterable[Place]) -> Iterator[None]:
        """Within, the functions at these places are timed. Kernels must have been called before: they compile each other."""
        with ExitStack() as stack:
            for owner, name, part in places:
                stack.enter_context(patch.object(owner, name, self._timed(getattr(owner, name), part)))
            yield

    def _timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self.running:
                return function(*arguments, **named)
            self.running, begun = True, process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[part] += process_time() - begun
                self.running = False

        return timed
