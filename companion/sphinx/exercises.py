"""Exercises whose answer is a command: ``expected`` shows it with what it prints, and a test holds it to that."""

import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

BLOCK = re.compile(r"^(`{3,}|:{3,})\{expected\} *(.+?) *\n(.*?)^\1 *$", flags=re.M | re.S)


@dataclass(frozen=True)
class Expected:
    """A command and lines that its output must contain, in this order."""

    command: str
    lines: tuple[str, ...]

    def missing(self, output: str) -> list[str]:
        """The expected lines that an output does not have."""
        printed = iter([re.sub(r"\s+", " ", line).strip() for line in output.splitlines()])
        return [line for line in self.lines if not any(line == other for other in printed)]


def expected_outputs(page: Path) -> list[Expected]:
    """What a page says that commands print."""
    found = []
    for _, command, body in BLOCK.findall(page.read_text("utf-8")):
        lines = [re.sub(r"\s+", " ", line).strip() for line in body.splitlines()]
        found.append(Expected(command, tuple(line for line in lines if line)))
    return found


def exercises(page: Path) -> list[str]:
    """The labels of a page's exercises."""
    return re.findall(
        r"^(?:`{3,}|:{3,})\{exercise\}[^\n]*\n(?::\w+:.*\n)*?:label: *(\S+)", page.read_text("utf-8"), re.M
    )


class ExpectedOutput(SphinxDirective):
    """A command and what it prints, as a console shows them."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join([f"$ {' '.join(self.arguments[0].split())}", *self.content])
        block = nodes.literal_block(text, text, language="console")
        return [nodes.container("", block, classes=["expected"])]
