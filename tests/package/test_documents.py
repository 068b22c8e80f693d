"""The documents are true: trees, links, navigation, versions, exit codes, commands, recipes and examples."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from test_house_rules import LAYERS

import unswayed
from unswayed.cli.main import COMMANDS, load
from unswayed.core import errors
from unswayed.data.build.run import build_files, load_spec

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
API = "reference/index.md"
PROJECT = ("CONTRIBUTING", "SECURITY", "CHANGELOG")  # pages of the site that lie at the root of the repository
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SPECS = sorted((ROOT / "recipes" / "data").rglob("*.toml"))  # of pairs, for `unswayed data build`
LABELS = {*(ROOT / "recipes" / "labels").rglob("*.toml")}  # of `unswayed label`; see tests/labels
SWEEPS = {*(ROOT / "recipes" / "sweeps").rglob("*.toml")}  # of `unswayed sweep`; see tests/sweep
RECIPES = sorted({*(ROOT / "recipes").rglob("*.toml")} - {*SPECS} - LABELS - SWEEPS)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> Iterator[str]:
    """Every fenced block of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def command_lines(path: Path) -> Iterator[list[str]]:
    """Every `unswayed ...` line of the shell blocks, as words."""
    for block in [*blocks(path, "bash"), *blocks(path, "console"), *blocks(path, "sh")]:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and words[0].rsplit("/", maxsplit=1)[-1] == "unswayed":
                yield words[1:]


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+\s+(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def tree() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "scripts" / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tree_is_current(tree: ModuleType) -> None:
    page = tree.PAGE.read_text(encoding="utf-8")
    assert page == tree.with_tree(page), "run `make tree`"


def test_the_tree_has_a_line_for_every_file_and_folder(tree: ModuleType) -> None:
    lines = tree.tree().splitlines()[1:]
    assert len(lines) > len(tree.files())
    for line in lines:
        name, _, text = line.strip().partition(" ")
        assert len(text.split()) >= 3, f"{name} has no description"
        assert "ships with the package" not in text, f"describe {name} in scripts/tree.py"


def test_the_architecture_lists_the_layers_in_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "src" / "unswayed").glob("*/__init__.py")}
    assert set(listed) == folders
    assert listed == [name for name in LAYERS if name in folders]


def test_the_modules_that_the_architecture_names_exist() -> None:
    text, _ = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Files")
    package = ROOT / "src" / "unswayed"
    named = [name.split(".") for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text)]
    paths = [package.joinpath(*parts) for parts in named if (package / parts[0]).is_dir()]
    assert len(paths) > 15
    assert not [str(path) for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()]


def test_the_tree_describes_files_by_their_docstrings(tree: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('"""Reads `rows` (Chua et al. 2024): all of them. And more.\n\nMuch more.\n"""\n')
    assert tree.describe(file) == "Reads rows (Chua et al. 2024): all of them"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


def test_every_guide_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    guides = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    guides -= {"index.md", *(guide for guide in guides if guide.startswith("reference/") and guide != API)}
    assert guides == {guide for guide in guides if f"]({guide})" in index}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    nav = re.findall(r"[\w/]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(nav) == len(set(nav))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(nav) == pages | {"quickstart.md", *(f"repository/{name}.md" for name in PROJECT)}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_version_is_the_newest_in_the_changelog() -> None:
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == unswayed.__version__
    assert f"\nversion: {unswayed.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", text, re.MULTILINE)
    ours = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    assert {int(code) for code, _ in rows} == ours | {0, 130}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_in_documents_exist_with_their_options(path: Path) -> None:
    for words in command_lines(path):
        command = load(words[0]) if words and not words[0].startswith("-") else None
        if command is None:
            continue
        if hasattr(command, "commands"):
            assert len(words) > 1, f"unswayed {words[0]} is a group"
            if words[1] not in command.commands and getattr(command, "default", ""):
                words = [words[0], command.default, *words[1:]]
            assert words[1] in command.commands, f"unswayed {' '.join(words[:2])} does not exist"
            command = command.commands[words[1]]
        known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
        used = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-zA-Z][\w-]*(=.*)?", word)}
        assert used <= known | {"-h", "--help"}, f"unswayed {' '.join(words)}"


def test_the_readme_shows_the_main_commands() -> None:
    shown = {words[0] for words in command_lines(README)}
    assert shown <= set(COMMANDS)
    assert {"data", "doctor", "eval", "compare", "runs", "show", "train"} <= shown


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(COMMANDS)


def test_the_readme_asks_only_what_its_pairs_hold_out(tmp_path: Path) -> None:
    lines = list(command_lines(README))
    (built,) = [words for words in lines if words[:2] == ["data", "build"]]
    build_files(ROOT / built[2], tmp_path / "pairs.jsonl")
    trained = {pair.group for pair in unswayed.read_pairs(tmp_path / "pairs.jsonl")}
    asked = {word for words in lines if words[0] == "eval" for word in words if "/pairs:" in word}
    assert asked == {"sycophancy/pairs:pairs.held_out.jsonl"}
    assert not any(word.startswith("sycophancy/") for words in lines for word in words if word not in asked)
    held_out = {pair.group for pair in unswayed.read_pairs(tmp_path / "pairs.held_out.jsonl")}
    assert held_out
    assert not held_out & trained


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_python_in_documents_parses_and_uses_public_names(path: Path) -> None:
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "uw":
                assert node.attr in unswayed.__all__


def test_make_targets_in_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        word
        for path in DOCUMENTS
        for block in blocks(path, "bash")
        for word in re.findall(r"^make (?:\w+=\S+ )?([a-z]+)", block, re.MULTILINE)
    }
    assert {"docs", "install", "test", "tree"} <= named <= targets


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_recipes_parse(path: Path) -> None:
    recipe = unswayed.Recipe.load(path)
    assert unswayed.Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize("path", SPECS, ids=name_of)
def test_specs_of_pairs_build_pairs(path: Path) -> None:
    parts = load_spec(path).build(path.parent).parts
    assert len(parts["train"]) >= 100
    groups = [{pair.group for pair in pairs} for part, pairs in parts.items() if part in {"train", "held_out"}]
    assert len(set.union(*groups)) == sum(map(len, groups)), "an item lies on both sides of the split"


def test_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert len(pins) == sum(not line.startswith("#") for line in lines if line), "a name is pinned twice"

    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {canonical(name) for name in pins}
    assert {canonical(re.split(r"[<>=!~ \[]", name)[0]) for name in wanted} <= pinned
    assert not [pin for pin in pins.values() if not re.fullmatch(r"[\w.]+", pin)], (
        "plain versions only, no local builds"
    )
