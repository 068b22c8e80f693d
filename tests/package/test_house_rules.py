"""The house rules as tests over the syntax trees of `src/unswayed`: who imports whom, and what nobody does."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "unswayed"
LONGEST = 400
# Nobody else turns text into token ids: the second rebuilds tokenizers and tries out what it has made.
TOKENISERS = {"chat.render", "models.gguf.tokenizer"}

LAYERS = (
    "_version", "core", "config", "stats", "readers", "losses", "chat", "models", "engine", "sources", "questions",
    "perturb", "data", "methods", "judges", "labels", "evals", "training", "report", "organisms", "attacks", "audit",
    "sweep", "api", "demo", "cli", "__main__",
)  # fmt: skip
"""Lowest first: a part imports only itself and what stands before it."""
WITHOUT_TORCH = {"core", "config", "stats", "readers", "questions", "perturb", "sources"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors", "datasets"}


@dataclass(frozen=True)
class Import:
    """One imported module (and name, for `from module import name`), with whether only a type checker sees it."""

    module: str
    name: str
    line: int
    typing_only: bool
    top: bool = True

    @property
    def paths(self) -> tuple[str, ...]:
        """Every dotted path this line may load."""
        return (self.module, f"{self.module}.{self.name}") if self.name else (self.module,)


@dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: Path

    @property
    def module(self) -> str:
        """`methods.opct` for `src/unswayed/methods/opct.py`, `methods` for its `__init__.py`."""
        parts = self.path.relative_to(PACKAGE).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self))

    @cached_property
    def docstrings(self) -> set[int]:
        """Identities of the nodes that are docstrings."""
        owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr):
                found.add(id(node.body[0].value))
        return found

    def strings(self) -> Iterator[tuple[int, str]]:
        """Every string in the code that is not a docstring, parts of f-strings included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self.docstrings:
                yield node.lineno, node.value

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


def _imports(source: Source) -> Iterator[Import]:
    guarded: set[int] = set()
    top = {id(node) for node in source.tree.body}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            guarded |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno, id(node) in guarded, id(node) in top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.at(node.lineno)}: imports are absolute in this package"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno, id(node) in guarded, id(node) in top)


SOURCES = [Source(path) for path in sorted(PACKAGE.rglob("*.py"))]
MODULES = {source.module for source in SOURCES}


def in_folder(name: str) -> list[Source]:
    return [source for source in SOURCES if source.module == name or source.module.startswith(f"{name}.")]


def ours(entry: Import) -> list[str]:
    """The modules of this package that an import loads, without the leading `unswayed.`."""
    paths = [path.removeprefix("unswayed.") for path in entry.paths if path.startswith("unswayed.")]
    return [path for path in paths if path in MODULES]


def outside(entry: Import) -> str:
    """The top-level name of a third-party package, or the empty string."""
    top = entry.module.split(".")[0]
    return "" if top == "unswayed" or top in sys.stdlib_module_names else top


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names and attributes; `?` where the chain begins with something else."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def violations(lines: Iterator[str]) -> None:
    found = sorted(set(lines))
    assert not found, "\n" + "\n".join(found)


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return every set of nodes that reach each other (Tarjan's strongly connected components of two or more)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        open_.append(node)
        for other in sorted(arrows.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in open_:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            part = open_[open_.index(node) :]
            del open_[open_.index(node) :]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(arrows):
        if node not in number:
            visit(node)
    return found


def arrows() -> dict[str, set[str]]:
    """Every module with the modules it imports, wherever in the file: at the top, in a function, for types only.

    `from package import module` is an import of that module; of anything else in a package, of its `__init__`.
    """
    found: dict[str, set[str]] = {}
    for source in SOURCES:
        loaded = {max(ours(entry), key=len) for entry in source.imports if ours(entry)}
        found[source.module] = loaded - {source.module, ""}
    return found


def folders_between(folder: str, edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The files and folders directly inside `folder` ("" is the package), with which of them imports which."""
    start = f"{folder}." if folder else ""
    found: dict[str, set[str]] = {}
    for module, loaded in edges.items():
        if module.startswith(start):
            inside = module.removeprefix(start).split(".")[0]
            others = {other.removeprefix(start).split(".")[0] for other in loaded if other.startswith(start)}
            found.setdefault(inside, set()).update(others - {inside})
    return found


def test_the_rules_see_the_package() -> None:
    assert {"core.errors", "losses", "engine.batching", "training.loop", "chat.render", "methods.opct"} <= MODULES
    assert any(entry.typing_only for source in in_folder("core.types") for entry in source.imports)
    assert any(outside(entry) == "torch" for source in in_folder("engine.batching") for entry in source.imports)
    edges = arrows()
    assert "methods.base" in edges["methods.opct"]
    assert len(edges) > 200
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert folders_between("", {"a.x": {"b.y"}, "b.z": {"a.w"}}) == {"a": {"b"}, "b": {"a"}}


# Who imports whom


def test_no_file_imports_itself_in_a_circle() -> None:
    assert circles(arrows()) == []


def test_no_folder_imports_itself_in_a_circle() -> None:
    edges = arrows()
    folders = {"", *(module.rpartition(".")[0] for module in edges)}
    found = {folder: circles(folders_between(folder, edges)) for folder in sorted(folders)}
    assert {folder: found for folder, found in found.items() if found} == {}


def test_imports_go_down_the_layers() -> None:
    assert {module.split(".")[0] for module in MODULES} == {"", *LAYERS}

    def found() -> Iterator[str]:
        for source in SOURCES:
            part = source.module.split(".")[0]
            allowed = set(LAYERS[: LAYERS.index(part) + 1]) if part else set(LAYERS)
            for entry in source.imports:
                for module in ours(entry):
                    if module.split(".")[0] not in allowed:
                        yield f"{source.at(entry.line)}: {part} imports {module}"

    violations(found())


@pytest.mark.parametrize("name", sorted(WITHOUT_TORCH))
def test_the_lower_layers_load_no_torch(name: str) -> None:
    """At the top of a file, that is: a function may import what it alone needs."""
    violations(
        f"{source.at(entry.line)}: imports {entry.module}"
        for source in in_folder(name)
        for entry in source.imports
        if not entry.typing_only and outside(entry) in HEAVY and entry.top
    )


@pytest.mark.parametrize("name", ["losses", "engine.batching"])
def test_losses_and_batching_import_only_torch_and_types(name: str) -> None:
    violations(
        f"{source.at(entry.line)}: imports {entry.module}"
        for source in in_folder(name)
        for entry in source.imports
        if outside(entry) not in {"", "torch"}
        or any(
            module != "core.types" and not module.startswith(name.split(".", maxsplit=1)[0]) for module in ours(entry)
        )
    )


def test_methods_and_labellers_do_not_import_each_other() -> None:
    violations(
        f"{source.at(entry.line)}: imports {module}"
        for folder in ("methods", "labels.labellers")
        for source in in_folder(folder)
        if source.module != folder
        for entry in source.imports
        for module in ours(entry)
        if module.startswith(f"{folder}.") and module not in {f"{folder}.base", source.module}
    )


def test_the_trainer_names_no_method() -> None:
    files = [*in_folder("methods"), *in_folder("labels.labellers")]
    names = {source.module.split(".")[-1] for source in files} - {"methods", "base", "labellers"}
    assert {"opct", "sft"} <= names
    (source,) = in_folder("training.loop")
    word = re.compile(rf"\b({'|'.join(sorted(names))})\b", re.IGNORECASE)

    def identifiers() -> Iterator[tuple[int, str]]:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name):
                yield node.lineno, node.id
            elif isinstance(node, ast.Attribute):
                yield node.lineno, node.attr

    for entry in source.imports:
        assert not any(module.startswith("methods.") and module != "methods.base" for module in ours(entry))
    violations(
        f"{source.at(line)}: {text!r}" for line, text in [*source.strings(), *identifiers()] if word.search(text)
    )


def test_test_only_packages_stay_in_the_tests() -> None:
    violations(
        f"{source.at(entry.line)}: imports {entry.module}"
        for source in SOURCES
        for entry in source.imports
        if outside(entry) in {"trl", "hypothesis", "pytest", "_pytest"}
    )


# What nobody does


def test_only_the_report_writes_html() -> None:
    tag = re.compile(r"</?(html|head|body|div|span|table|thead|tbody|tr|td|th|style|script|iframe|img)\b[^<>]*>", re.I)
    violations(
        f"{source.at(line)}: {text[:60]!r}"
        for source in SOURCES
        if source.module != "report.html"
        for line, text in source.strings()
        if tag.search(text)
    )
    violations(
        f"{source.at(entry.line)}: renders templates"
        for source in SOURCES
        if source.module != "report.html"
        for entry in source.imports
        if outside(entry) in {"jinja2", "markupsafe"} and not entry.typing_only and not entry.name.endswith("Error")
    )


def test_no_code_comes_from_data() -> None:
    modules = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
    calls = {
        "eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "numpy.load", "np.load", "os.system",
        "os.popen", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load",
    }  # fmt: skip

    def found() -> Iterator[str]:
        for source in SOURCES:
            for entry in source.imports:
                if entry.module.split(".")[0] in modules or entry.paths[-1] in {"torch.load", "torch.jit.load"}:
                    yield f"{source.at(entry.line)}: imports {entry.paths[-1]}"
            for call in source.calls():
                if dotted(call.func) in calls:
                    yield f"{source.at(call.lineno)}: calls {dotted(call.func)}"
                for keyword in call.keywords:
                    risky = keyword.arg in {"trust_remote_code", "allow_pickle", "shell", "weights_only"}
                    bad_value = keyword.arg != "weights_only"
                    if risky and isinstance(keyword.value, ast.Constant) and keyword.value.value is bad_value:
                        yield f"{source.at(call.lineno)}: {keyword.arg}={bad_value}"

    violations(found())


def test_only_chat_turns_text_into_tokens() -> None:
    methods = {"apply_chat_template", "encode_plus", "batch_encode_plus", "tokenize", "convert_tokens_to_ids"}

    def tokenises(call: ast.Call) -> bool:
        chain = dotted(call.func).lower().split(".")
        if chain[-1] in methods:
            return len(chain) > 1 and chain[0] != "tokenize"
        if chain[-1] in {"encode", "encode_batch"} and len(chain) > 1:
            return "tok" in chain[-2]
        return chain[-1] in {"tokenizer", "_tokenizer", "tok"}

    violations(
        f"{source.at(call.lineno)}: {ast.unparse(call)[:80]}"
        for source in SOURCES
        if source.module not in TOKENISERS
        for call in source.calls()
        if tokenises(call)
    )
    (chat,) = in_folder("chat.render")
    assert any(tokenises(call) for call in chat.calls()), "the rule no longer recognises how chat/render.py tokenises"


def test_only_core_files_deletes_folders() -> None:
    violations(
        f"{source.at(call.lineno)}: calls {dotted(call.func)}"
        for source in SOURCES
        if source.module != "core.files"
        for call in source.calls()
        if dotted(call.func) in {"shutil.rmtree", "rmtree", "os.removedirs"}
    )


def test_no_global_random_generator_is_used() -> None:
    def forked(source: Source) -> set[int]:
        """Calls inside `with torch.random.fork_rng(...)`, which puts the global generator back as it was."""
        return {
            id(inner)
            for node in ast.walk(source.tree)
            if isinstance(node, ast.With)
            and any(ast.unparse(item.context_expr).startswith("torch.random.fork_rng(") for item in node.items)
            for statement in node.body
            for inner in ast.walk(statement)
        }

    seeding = {"torch.manual_seed", "torch.seed", "torch.cuda.manual_seed_all", "torch.random.manual_seed"}
    drawing = re.compile(
        r"(np|numpy)\.random\.(?!Generator|Philox|SeedSequence)\w+|torch\.(rand|randn|randint|randperm)"
    )

    def found() -> Iterator[str]:
        for source in SOURCES:
            inside = forked(source)
            for entry in source.imports:
                if entry.module == "random":
                    yield f"{source.at(entry.line)}: imports random"
            for call in source.calls():
                name = dotted(call.func)
                own = any(keyword.arg == "generator" for keyword in call.keywords)
                if (name in seeding and id(call) not in inside) or (drawing.fullmatch(name) and not own):
                    yield f"{source.at(call.lineno)}: calls {name}"

    violations(found())


def test_files_are_short_or_say_why_not() -> None:
    def found() -> Iterator[str]:
        for source in SOURCES:
            lines = source.text.count("\n")
            if lines <= LONGEST:
                continue
            with open(source.path, "rb") as file:
                comments = (
                    token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT
                )
                first = next(comments, "")
            if f"{LONGEST} lines" not in first:
                yield f"{source.at(lines)}: over {LONGEST} lines, and its first comment does not say why"

    violations(found())


def test_every_module_says_what_it_is() -> None:
    violations(
        f"{source.at(1)}: no docstring"
        for source in SOURCES
        if source.text.strip() and not (ast.get_docstring(source.tree) or "").strip()
    )


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    violations(
        f"{source.at(number)}: {line.strip()[:80]}"
        for source in SOURCES
        for number, line in enumerate(source.text.splitlines(), start=1)
        if marks.search(line)
    )


def test_no_two_test_modules_share_a_name() -> None:
    """Without packages each folder of tests is on the path: of two modules of one name the first imported wins."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(names) > 50
    assert {name for name in names if names.count(name) > 1} == set()
