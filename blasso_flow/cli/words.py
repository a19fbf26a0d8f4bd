"""Words of the core in those of the shell: it speaks of arguments, as `refit=False`, where people type --no-refit."""

from __future__ import annotations

import re

_MENTION = re.compile(r"`([a-z_]+=[^`]*)`")
_IRREGULAR = {"positive=False": "--signed", "overwrite=True": "--force", "by=order": "--offset-by order"}


def in_options(text: str) -> str:
    """A text with all arguments that it mentions, as `max_rounds=` or `loss=poisson, refit=False`, as options."""
    return _MENTION.sub(lambda found: " ".join(map(_option, found[1].split(", "))), text)


def _option(argument: str) -> str:
    name, _, value = argument.partition("=")
    word = name.replace("_", "-")
    return _IRREGULAR.get(argument) or {"True": f"--{word}", "False": f"--no-{word}"}.get(value, f"--{word} {value}".rstrip())
