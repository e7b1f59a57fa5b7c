"""Values of records and of the chapters' functions, as prose sets them."""

import ast
import importlib
import math
import re
from typing import Any

from companion.catalogue import Chapter, module_name
from companion.claims import format_number
from companion.sphinx.records import PageError


def lookup(bundle: dict[str, Any], path: str) -> Any:
    """A measured value of a verdicts bundle.

    ``C1a.slope`` is claim C1a's measured ``slope``, ``C1a.control.slope`` its control's, ``quantities.name`` a further
    quantity; ``[k]`` picks from a list and ``[key]`` from a mapping.

    Raises
    ------
    PageError
        If there is no such value, or it is no value but a whole mapping, or nothing was measured.
    """
    parts = re.findall(r"[^.\[\]]+", path)
    known = {verdict["claim"]: verdict for verdict in bundle["verdicts"]}
    if parts[0] == "quantities":
        value: Any = bundle.get("quantities", {})
        rest = parts[1:]
    elif parts[0] in known:
        verdict = known[parts[0]]
        rest = parts[1:]
        value = verdict["measured"]
        if rest and rest[0] == "control":
            value, rest = (verdict["control"] or {}).get("measured", {}), rest[1:]
    else:
        raise PageError(f"{path}: no such claim, there are: {', '.join(known)}, quantities")
    for part in rest:
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise PageError(f"{path}: no {part!r} in it, there is: {_inside(value)}") from None
    if isinstance(value, dict):
        raise PageError(f"{path}: several values, name one of: {', '.join(value) or 'none was measured'}")
    if _hollow(value):
        raise PageError(f"{path}: nothing that prose could quote was measured, but {format_number(value)}")
    return value


def _inside(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(value)
    return f"{len(value)} entries" if isinstance(value, list) else str(value)


def _hollow(value: Any) -> bool:
    """Whether a value, or one of a list, is missing or not a number."""
    if isinstance(value, list):
        return any(map(_hollow, value))
    return value is None or value == "nan" or (isinstance(value, float) and math.isnan(value))


def format_value(value: Any, style: str | None = None) -> str:
    """A value for prose. ``style`` is a Python format such as ``.2f`` or ``.0%``, or ``sci``.

    Raises
    ------
    PageError
        If the style does not fit the value, or the value is too large to be written.
    """
    if isinstance(value, list):
        return ", ".join(format_value(item, style) for item in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return {"inf": "∞", "-inf": "−∞"}.get(value, format_number(value))
    try:
        return _format(value, style).replace("-", "−")
    except (OverflowError, ValueError) as error:
        shown = repr(value) if isinstance(value, float) else f"an integer of {value.bit_length()} bits"
        raise PageError(f"{shown} cannot be written as {style or 'a number'}: {error}") from None


def _format(value: float, style: str | None) -> str:
    if style and style != "sci":
        return format(value, style)
    if isinstance(value, int) and style is None and abs(value) < 10**6:
        return str(value)
    if style == "sci" or (value and not 1e-3 <= abs(value) < 1e5):
        mantissa, exponent = f"{float(value):.1e}".split("e")
        superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{superscript}"
    return f"{value:.3g}"


def compute(chapter: Chapter, expression: str) -> Any:
    """The value of a call of a chapter's own public function with literal arguments.

    ``triplets.shrinkage(1.0, d=3)`` is ``companion.chapters.<chapter>.triplets.shrinkage(1.0, d=3)``.

    Raises
    ------
    PageError
        If it is anything else than that, or the call fails.
    """
    try:
        call = ast.parse(expression, mode="eval").body
    except SyntaxError:
        call = None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        raise PageError(f"{expression}: write MODULE.FUNCTION(literals)")
    dotted = ast.unparse(call.func).split(".")
    if not all(re.fullmatch(r"[A-Za-z]\w*", part) for part in dotted):
        raise PageError(f"{expression}: write MODULE.FUNCTION(literals), with public names")
    home = f"companion.chapters.{module_name(chapter.slug)}"
    try:
        arguments = [ast.literal_eval(node) for node in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        function = getattr(importlib.import_module(".".join([home, *dotted[:-1]])), dotted[-1])
        if not str(getattr(function, "__module__", "")).startswith(home):
            raise PageError(f"{expression}: {dotted[-1]} is not a function of {home}")
        value = function(*arguments, **named)
    except PageError:
        raise
    except Exception as error:  # whatever goes wrong, the page is at fault, and the author needs to know where
        raise PageError(f"{expression}: {type(error).__name__}: {error}") from None
    value = value.tolist() if hasattr(value, "tolist") else value
    if _hollow(value) or isinstance(value, dict | tuple):
        raise PageError(f"{expression}: gives {value!r}, not a number or a list of numbers")
    return value
