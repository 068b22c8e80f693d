"""MkDocs hooks: put the files that pages link to, and the quickstart notebook, into the site.

Pages under `docs/` link to recipes, code and drawings elsewhere in the repository by relative paths, so that the links
work in a checkout. In the site these files appear below `repository/`: Markdown as pages, other text as a page that
shows it, drawings and JSON as they are, a folder as a list.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "examples/quickstart.ipynb"
LINKS = {NOTEBOOK: "quickstart.md", "README.md": "index.md"}  # repository files that have a page of their own
PROJECT = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
LANGUAGES = {".py": "python", ".toml": "toml", ".cff": "yaml"}
AS_THEY_ARE = {".svg", ".png", ".json"}
FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2\s*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the anchors of headings the same as in a checkout's viewer."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebook's page, the project's pages and every repository file that a page links to."""
    files.append(File.generated(config, "quickstart.md", content=notebook_page(ROOT / NOTEBOOK)))
    pages = [(f"docs/{file.src_uri}", file.content_string) for file in files if file.is_documentation_page()]
    wanted, seen = list(PROJECT), set(LINKS)
    for source, text in pages:
        wanted += outside(source, text)
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        file = ROOT / path
        if file.suffix in AS_THEY_ARE:
            files.append(File.generated(config, site_path(path), abs_src_path=str(file)))
            continue
        text = page_of(file)
        files.append(File.generated(config, site_path(path), content=text))
        wanted += outside(path if file.suffix == ".md" else f"{path}/", text)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave `docs/` to the pages that show their targets."""
    source = repository_path(page.file.src_uri)

    def point(found: re.Match[str]) -> str:
        target, _, anchor = found[1].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = path.removeprefix("docs/") if path.startswith("docs/") else site_path(path)
        relative = posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or ".")
        return f"]({relative}{'#' if anchor else ''}{anchor})"

    return "".join(part if code else LINK.sub(point, part) for part, code in parts(markdown))


def site_path(path: str) -> str:
    """Return where in the site a repository file outside `docs/` is shown."""
    if path in LINKS:
        return LINKS[path]
    suffix = Path(path).suffix
    return f"repository/{path}" if suffix == ".md" or suffix in AS_THEY_ARE else f"repository/{path}.md"


def repository_path(src_uri: str) -> str:
    """Return the repository path whose folder a page's relative links start from."""
    if src_uri == LINKS[NOTEBOOK]:
        return NOTEBOOK
    if not src_uri.startswith("repository/"):
        return f"docs/{src_uri}"
    path = src_uri.removeprefix("repository/")
    return path if (ROOT / path).exists() else f"{path.removesuffix('.md')}/"


def outside(source: str, text: str) -> Iterator[str]:
    """Yield every file or folder outside `docs/` that the text links to, as a path of the repository."""
    for part, code in parts(text):
        for target in [] if code else LINK.findall(part):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target.partition("#")[0]))
            if "://" not in target and not path.startswith(("docs/", "..")) and (ROOT / path).exists():
                yield path


def parts(text: str) -> Iterator[tuple[str, bool]]:
    """Split Markdown into text and fenced code, each with whether it is code."""
    end = 0
    for fence in FENCE.finditer(text):
        yield text[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield text[end:], False


def page_of(path: Path) -> str:
    """Return the Markdown that shows a file, or lists a folder."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        below = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith((".", "__")))
        return f"# {name}\n\n" + "\n".join(f"- [{file}]({file})" for file in below)
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".md" else f"# {name}\n\n```{LANGUAGES.get(path.suffix, 'text')}\n{text}```\n"


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown: its text, its code, and what each cell printed or drew."""
    shown: list[str] = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        shown.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        shown += [output_of(output) for output in cell.get("outputs", [])]
    return "\n\n".join(filter(None, shown)) + "\n"


def output_of(output: dict[str, Any]) -> str:
    """Return one output of a cell as Markdown."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f"```{{.text .output}}\n{text.rstrip()}\n```" if text.strip() else ""
