"""What is given on the command line, read in one way: values of parameters, seeds, numbers of processes."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from companion.execution import InputError

MOST_SEEDS = 10_000
# Parameters that have an option of their own.
OPTIONS = {"profile": "--profile", "device": "--device"}

# Beside JSON: a word may go without quotes, and a number begin or end with its point or begin with a plus. No leading
# zero, no colon: some would read 010 as eight and 1:30 as ninety.
_WORD = re.compile(r"[A-Za-z_][\w.+-]*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?", re.ASCII)


def shorten(text: str, most: int = 60) -> str:
    """The beginning of a text that is too long to be repeated."""
    return text if len(text) <= most else f"{text[:most]}…"


def parse(given: Iterable[str] | None, options: dict[str, str] = OPTIONS) -> dict[str, Any]:
    """``["n=64", "ratios=[0.5, 0.7]"]`` to a dictionary.

    Raises
    ------
    InputError
        Unless every item is ``NAME=VALUE`` with a value that :func:`value` reads, each name once, and none that has an
        option of its own.
    """
    found = {}
    for item in given or ():
        name, separator, text = (part.strip() for part in item.partition("="))
        if not separator or not name:
            raise InputError(f"-p: got {shorten(item)!r}, allowed: NAME=VALUE")
        if name in options:
            raise InputError(f"-p: got {shorten(item)!r}, allowed: {options[name]} {shorten(text) or 'VALUE'}")
        if name in found:
            raise InputError(f"-p: got {shorten(name)!r} twice, allowed: each name once")
        found[name] = value(text, name)
    return found


def value(text: str, name: str) -> Any:
    """A value in JSON, a word or a number."""
    fault = "a value in JSON, a word or a number"
    try:
        return json.loads(text)
    except RecursionError:
        fault += " (this is nested too deeply)"
    except ValueError:
        if _WORD.fullmatch(text):
            return text
        if _NUMBER.fullmatch(text) and re.search(r"\d", text):
            try:
                return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
            except ValueError:  # an integer that Python does not take from a text
                fault += f" (this has {len(text)} digits)"
    raise InputError(f"{shorten(name)}: got {shorten(text)!r}, allowed: {fault}")


def seeds(text: str) -> list[int]:
    """``"3"``, ``"0:10"`` (10 excluded) or ``"1,5,7"``.

    Raises
    ------
    InputError
        If it is none of them, names a seed twice, or more than :data:`MOST_SEEDS`.
    """
    if re.fullmatch(r"\d{1,10}(,\d{1,10})*", text, re.ASCII):
        found = [int(seed) for seed in text.split(",")]
        if len(set(found)) < len(found):
            raise InputError(f"--seeds: got {shorten(text)!r}, allowed: each seed once")
    elif match := re.fullmatch(r"(\d{0,20}):(\d{1,20})", text, re.ASCII):
        found = range(int(match[1] or 0), int(match[2]))
    else:
        found = ()
    if not found:
        raise InputError(
            f"--seeds: got {shorten(text)!r}, allowed: FIRST:END (END excluded) or numbers joined by commas"
        )
    if len(found) > MOST_SEEDS:
        raise InputError(f"--seeds: got {shorten(text)!r}, which are {len(found)}, allowed: {MOST_SEEDS} at a time")
    return list(found)


def jobs(number: int) -> int:
    """A number of processes that this machine can be asked for.

    Raises
    ------
    InputError
        If it is below 1 or above twice the number of cores.
    """
    most = max(4, 2 * (os.cpu_count() or 1))
    if not 1 <= number <= most:
        raise InputError(f"--jobs: got {number}, allowed: 1 to {most} on this machine")
    return number
