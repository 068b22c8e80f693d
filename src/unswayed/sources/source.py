"""One public set: its home, the bytes that are meant, and what a person can do to have it."""

from __future__ import annotations

from dataclasses import dataclass

GITHUB, HUB = "github.com/", "huggingface.co/datasets/"


@dataclass(frozen=True, slots=True)
class Source:
    """One public set.

    Attributes:
        name: e.g. `capability/gsm8k`.
        home: the repository, without `https://`.
        licence: as its home states it.
        path: where it lies under `UNSWAYED_DATA`; a file, or a folder where it has `members`.
        revision: commit of the home; None where none is pinned.
        file: path at home; "" where the set has no file there, or is loaded as a dataset of the hub.
        sha256: of the file; of a folder, over its members' names and hashes. None where no bytes are pinned.
        rows: how many there are; None where nobody has counted the pinned bytes.
        evaluation_only: its authors ask that it is not trained on; training refuses it.
        gated: its home asks for an account, and for its terms to be accepted.
        sensitive: its prompts may be harmful to repeat.
        note: what a user should know.
        canary: a text that its authors put beside it so that copies are found.
        config: the hub's name of a subset.
        members: the files of a folder, relative to it.
        columns: names of the columns where the file has no header.
    """

    name: str
    home: str
    licence: str
    path: str
    revision: str | None = None
    file: str = ""
    sha256: str | None = None
    rows: int | None = None
    evaluation_only: bool = False
    gated: bool = False
    sensitive: bool = False
    note: str = ""
    canary: str = ""
    config: str | None = None
    members: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where the bytes are downloaded from, or the page of a hub dataset; "" where its home has no such file."""
        if self.home.startswith(GITHUB) and self.file:
            return f"https://raw.githubusercontent.com/{self.home.removeprefix(GITHUB)}/{self.revision}/{self.file}"
        return f"https://{self.home}" if self.home.startswith(HUB) else ""

    @property
    def flags(self) -> tuple[str, ...]:
        """What to be careful about, in words."""
        words = {"evaluation only": self.evaluation_only, "gated": self.gated, "sensitive": self.sensitive}
        return tuple(word for word, holds in words.items() if holds)


def how_to_get(one: Source) -> str:
    """Return what a person can do to have the set."""
    gate = " (accept its terms there, and set HF_TOKEN)" if one.gated else ""
    fetch = f"run `unswayed data fetch {one.name}` where the network is{gate}, or " if one.url else ""
    about = f" ({one.note})" if not one.url and one.note else ""
    return (
        f"{fetch}put a copy from https://{one.home}{about} at {one.path} in the folder that UNSWAYED_DATA names, or "
        "give the file itself"
    )
