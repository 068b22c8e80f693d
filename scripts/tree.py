"""Write the tree in docs/architecture.md: every folder and file of the package with its docstring's first sentence.

.venv/bin/python scripts/tree.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "unswayed"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- tree: written by scripts/tree.py -->\n```text\n", "```\n<!-- end of tree -->\n"
OTHERS = {  # files that cannot hold a sentence about themselves
    "refusals.json": "The weights of the refusal model, by feature and by word",
    "warnings.json": "The weights of the warning model, by feature",
    "py.typed": "Tells type checkers that the package is typed",
    "canaries.jsonl": "Replies whose grade is beyond doubt, to check a judge with",
    "injections.jsonl": "Replies that try to instruct the judge that grades them",
    "facts.jsonl": "Questions of general knowledge with their right and wrong answers",
    "harmless.jsonl": "Harmless requests that a model should fulfil",
    "protected.jsonl": "Settings with a codeword that must not come out",
    "comparison.html.j2": "The page of `unswayed compare`",
    "comparison.css.j2": "Styles of that page alone",
    "sweep.html.j2": "The page of `unswayed sweep report`",
    "parts.html.j2": "Macros that the pages share",
    "audit.html.j2": "The page of `unswayed audit`",
    "audit.css.j2": "Styles of that page alone",
    "report.html.j2": "The page of `unswayed demo`",
    "style.css.j2": "Styles of every page",
    "safety_facts.jsonl": "Dangers, with questions that walk into them and look-alikes that do not",
}
FOLDERS = {"templates": "Jinja templates of the pages and their styles"}  # folders that are no packages


def files() -> list[Path]:
    """Return every file of the package, caches and `__init__.py` of folders apart: those describe their folders."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(
        path
        for path in found
        if not path.name.startswith(".") and (path.name != "__init__.py" or path.parent == PACKAGE)
    )


def describe(path: Path) -> str:
    """Return one line about a file: its docstring's first sentence, or the first comment of a template or data file."""
    if path.name in OTHERS:
        return OTHERS[path.name].replace("`", "")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.match(r"\s*(?:\{#-?|<!--|/\*|#)\s*(.+?)\s*(?:-?#\}|-->|\*/|\n)", text, re.DOTALL)
        text = comment.group(1) if comment else f"{path.suffix.lstrip('.').upper()} that ships with the package"
    sentence = re.split(r"(?<=\.)(?<!al\.)\s(?=[A-Z`])", " ".join(text.split("\n\n")[0].split()))[0]
    return sentence.rstrip(".").replace("`", "")


def tree() -> str:
    """Return the tree as text: files of a folder first, then its folders."""
    rows = list(_folder(PACKAGE, files(), depth=1))
    width = max(len(name) for name, text in rows if text) + 2
    return "src/unswayed/\n" + "".join(f"{name:{width}}{text}".rstrip() + "\n" for name, text in rows)


def _folder(folder: Path, paths: list[Path], depth: int) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    for path in (path for path in paths if path.parent == folder):
        yield indent + path.name, describe(path)
    for below in sorted({folder / path.relative_to(folder).parts[0] for path in paths if path.parent != folder}):
        init = below / "__init__.py"
        yield f"{indent}{below.name}/", describe(init) if init.exists() else FOLDERS[below.name]
        yield from _folder(below, [path for path in paths if below in path.parents], depth + 1)


def with_tree(text: str) -> str:
    """Return the page with the tree between the two marks replaced by the current one."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + tree() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_tree(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
