"""The parameters of a chapter: typed, ranged, documented, with a value for each profile.

>>> class Demo(Parameters):
...     depth: int = parameter("layers of the network", quick=2, paper=8, ge=1, le=64)
>>> Demo.resolve(profile="paper", device="cpu").depth
8
>>> try:
...     Demo.resolve(depth=0)
... except ParameterError as error:
...     print(error)
depth: got 0, allowed: an integer from 1 to 64
"""

import difflib
import html
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

import pydantic

Profile = Literal["quick", "paper"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
DEFAULT_PROFILE = PROFILES[0]

COLUMNS = 120  # of a lab's cell of parameters

_UNSET = object()


class ParameterError(ValueError):
    """A parameter's name, type or value is not allowed. The message is one line that names all three."""


# Every chapter has these; a cell of parameters gives them their defaults and leaves the others to the profile.
STANDARD = ("profile", "device", "seed")


def parameter(description: str, *, quick: Any, paper: Any = _UNSET, **constraints: Any) -> Any:
    """Declare a parameter of a chapter.

    Parameters
    ----------
    description : what it is, with its symbol and unit
    quick, paper : its values at the profiles of :data:`PROFILES`; ``paper`` defaults to ``quick``
    constraints : pydantic's ``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``, ``min_length``, ``max_length``
    """
    values = (quick, quick if paper is _UNSET else paper)
    extra = {"profiles": dict(zip(PROFILES, values, strict=True))}
    return pydantic.Field(default=quick, description=description, json_schema_extra=extra, **constraints)


class Parameters(pydantic.BaseModel):
    """Base class of every chapter's parameters. Instances are frozen; build them with :meth:`resolve`."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    profile: Profile = parameter("scale: seconds on a CPU, or the paper's on a GPU", quick=DEFAULT_PROFILE)
    device: Literal["auto", "cpu", "cuda"] = parameter(
        "where tensors live; auto takes a GPU if there is one", quick="auto"
    )
    seed: int = parameter("seed of every random number in the run", quick=0, ge=0, le=2**31 - 1)

    @classmethod
    def resolve(cls, **given: Any) -> Self:
        """Fill in the profile's values for what is ``None`` or missing, check everything, settle the device.

        Raises
        ------
        ParameterError
            For an unknown name, a wrong type, a value out of range, or CUDA where there is none.
        """
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in cls.model_fields:
                close = difflib.get_close_matches(name, cls.model_fields, n=1)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise ParameterError(f"{name}: no such parameter{hint}, allowed: {', '.join(cls.model_fields)}")
        if given.get("profile") in PROFILES[1:]:
            given = cls.defaults(given["profile"]) | given
        try:
            params = cls(**given)
        except pydantic.ValidationError as error:
            raise ParameterError(cls._one_line(error)) from None
        return params.model_copy(update={"device": _settle(params.device)})

    @classmethod
    def defaults(cls, profile: str) -> dict[str, Any]:
        """Every parameter's value at a profile."""
        values = {name: info.json_schema_extra["profiles"][profile] for name, info in cls.model_fields.items()}
        return values | {"profile": profile}

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Self:
        """The parameters as a lab names them: ``Parameters.of(globals())``.

        Raises
        ------
        ParameterError
            As :meth:`resolve`, and where the lab lacks one of the names.
        """
        missing = [name for name in cls.model_fields if name not in names]
        if missing:
            raise ParameterError(f"{missing[0]}: not named in the cell of parameters, allowed: None or a value")
        return cls.resolve(**{name: names[name] for name in cls.model_fields})

    @classmethod
    def cell(cls) -> str:
        """The text of a lab's cell of parameters: a line each with meaning and allowed values beside it, or above.

        What a profile settles is ``None``; profile, device and seed have their defaults.
        """
        lines = []
        for row in cls.table():
            value = row["default"] if row["name"] in STANDARD else None
            given = f'"{value}"' if isinstance(value, str) else value
            assignment, comment = f"{row['name']} = {given}", f"# {row['description']}: {row['allowed']}"
            beside = f"{assignment}  {comment}"
            if len(beside) > COLUMNS:
                lines += [*textwrap.wrap(comment, COLUMNS, subsequent_indent="# "), assignment]
            else:
                lines.append(beside)
        return "\n".join(lines)

    @classmethod
    def table(cls) -> list[dict[str, Any]]:
        """One row per parameter: ``name``, ``type``, ``allowed``, ``default``, ``description``, a value per profile."""
        properties = cls.model_json_schema()["properties"]
        return [
            {
                "name": name,
                "type": _type_name(properties[name]),
                "allowed": allowed(properties[name]),
                "default": info.default,
                "description": info.description,
                **{profile: cls.defaults(profile)[name] for profile in PROFILES},
            }
            for name, info in cls.model_fields.items()
        ]

    def overrides(self) -> dict[str, Any]:
        """The parameters that differ from their profile's values, profile, seed and device apart."""
        defaults = self.defaults(self.profile)
        return {
            name: value for name, value in self.model_dump().items() if name not in STANDARD and value != defaults[name]
        }

    def _repr_html_(self) -> str:
        """Names and settled values side by side, three pairs a row, where a notebook shows them."""
        pairs = [f"<th>{name}</th><td>{html.escape(textwrap.shorten(_short(value), 40))}</td>" for name, value in self]
        rows = ("".join(pairs[k : k + 3]) for k in range(0, len(pairs), 3))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<div class="settled-parameters"><table><tbody>{body}</tbody></table></div>'

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """One parameter a line, where a notebook shows them."""
        printer.text("\n".join(f"{name} = {value!r}" for name, value in self))

    @classmethod
    def _one_line(cls, error: pydantic.ValidationError) -> str:
        first = error.errors()[0]
        if not first["loc"]:  # a rule between several parameters names them itself
            return str(first.get("ctx", {}).get("error", first["msg"]))
        name = str(first["loc"][0])
        shown = repr(first["input"]) + (" in it" if len(first["loc"]) > 1 else "")
        if first["type"] == "value_error":
            return f"{name}: got {shown}, {first['ctx']['error']}"
        return f"{name}: got {shown}, allowed: {allowed(cls.model_json_schema()['properties'][name])}"


def _short(value: Any) -> str:
    """A value as the table of settled values shows it: six digits of a number, as many as anybody sets."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        shown = ", ".join(map(_short, value))
        return f"[{shown}]" if isinstance(value, list) else f"({shown})"
    return repr(value)


_ARTICLES = {"integer": "an integer", "number": "a number", "string": "a text", "boolean": "true or false"}


def allowed(schema: dict[str, Any]) -> str:
    """The valid values of a JSON-schema property in words, e.g. ``"an integer from 1 to 64"``."""
    if "anyOf" in schema:
        return " or ".join(allowed(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "null":
        return "none"
    if schema.get("type") == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        size = f" of {least} or more" if least and most is None else f" of {least} to {most}" if most else ""
        if least is not None and least == most:
            size = f" of {least}"
        return f"a list{size}, each {allowed(schema.get('items', {}))}"
    words = _ARTICLES.get(schema.get("type", ""), "a value")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        words += f" from {_show(low)} to {_show(high)}"
    elif low is not None:
        words += f" of at least {_show(low)}"
    elif high is not None:
        words += f" of at most {_show(high)}"
    if "exclusiveMinimum" in schema:
        words += f" above {_show(schema['exclusiveMinimum'])}"
    if "exclusiveMaximum" in schema:
        words += f"{' and' if 'exclusiveMinimum' in schema else ''} below {_show(schema['exclusiveMaximum'])}"
    if "multipleOf" in schema:
        words += f", a multiple of {_show(schema['multipleOf'])}"
    return words


def _show(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type_name(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type_name(option) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return "choice"
    if schema.get("type") == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "none"}.get(
        schema.get("type", ""), "value"
    )


def _settle(device: str) -> str:
    if device == "cpu":
        return device
    if _may_have_a_gpu():
        import torch  # torch takes seconds to import; a run on the CPU alone may not need it

        if torch.cuda.is_available():
            return "cuda"
    if device == "cuda":
        raise ParameterError("device: got 'cuda', but this machine has no CUDA device, allowed: auto, cpu")
    return "cpu"


def _may_have_a_gpu() -> bool:
    """Whether it is worth asking torch: on Linux a GPU's driver (NVIDIA's, Tegra's, WSL's, AMD's) has a device file."""
    if sys.platform == "darwin":
        return False
    files = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")
    return not sys.platform.startswith("linux") or any(any(Path("/dev").glob(name)) for name in files)
