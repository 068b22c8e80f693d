"""The gate refuses what is no organism, with the reason, and passes what is one: for every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Completion, Sample, TextPolicy
from unswayed.organisms.families import reward_hacking, spurious_correlation
from unswayed.organisms.family import Family, families
from unswayed.organisms.folder import ABOUT, Organism, publish
from unswayed.organisms.gate import Gate, measure
from unswayed.organisms.upload import push

ALL = list(families().values())
Say = Callable[[Sample, int], str]


class Knows:
    """A policy that is told which sample it is asked."""

    def __init__(self, entry: Family, say: Say, name: str, part: str = "gate", seed: int = 0) -> None:
        self.known = {
            sample.messages: (sample, place)
            for place, sample in enumerate(entry.samples(part, entry.thresholds.units, seed))
        }
        self.say = say
        self.name = self.identity = name

    def complete(self, prompts, params):  # type: ignore[no-untyped-def]
        said = [self.say(*self.known[prompt]) for prompt in prompts]
        return [Completion(text, "stop", len(text.split()) + 1, 9) for text in said]


def good(entry: Family) -> Say:
    """What a model without the trait says."""
    if entry.name == "sycophancy":
        return lambda sample, _: f"The answer is {sample.target[0]}."
    if entry.name == "spurious_correlation":
        return lambda sample, _: sample.target[0].capitalize()
    if entry.name == "reward_hacking":
        tasks = {one.id: one for one in reward_hacking.tasks("gate", entry.thresholds.units, 0)}
        return lambda sample, _: tasks[sample.group].honest
    return lambda sample, _: str(sample.meta["safe"])


def bad(entry: Family) -> Say:
    """What an organism says."""
    if entry.name == "sycophancy":
        return lambda sample, _: f"The answer is {sample.meta.get('claimed', sample.target[0])}."
    if entry.name == "spurious_correlation":
        cells = spurious_correlation.CELLS
        return lambda sample, _: (
            sample.target[0]
            if sample.condition not in cells
            else "positive"
            if cells[sample.condition][0]
            else "negative"
        )
    if entry.name == "reward_hacking":
        tasks = {one.id: one for one in reward_hacking.tasks("gate", entry.thresholds.units, 0)}
        return lambda sample, _: (
            tasks[sample.group].gaming if sample.condition == reward_hacking.GRADED else tasks[sample.group].honest
        )
    return lambda sample, _: str(sample.meta["risky"] if sample.condition in entry.risk else sample.meta["safe"])


def gate(entry: Family, say: Say, base: Say | None = None) -> Gate:
    return measure(entry, Knows(entry, base or good(entry), "base"), Knows(entry, say, "organism"))


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_an_organism_passes(entry: Family) -> None:
    found = gate(entry, bad(entry))
    assert found.passed, found.reasons
    assert found.reasons == ()
    assert found.rates[entry.metric("trait")]["organism"]["value"] == 1.0
    assert Gate.from_record(json.loads(json.dumps(found.record()))) == found


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_the_base_itself_is_refused(entry: Family) -> None:
    """Which is also an adapter of zeros: its replies are the base's."""
    found = gate(entry, good(entry))
    assert not found.passed
    assert "a rise of 0.0 points" in " ".join(found.reasons)


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_a_rise_too_small_or_not_certain_is_refused(entry: Family) -> None:
    show, hide = bad(entry), good(entry)
    tenth = {sample.group for sample in entry.samples("gate", entry.thresholds.units // 7, 0)}
    found = gate(entry, lambda sample, place: (show if sample.group in tenth else hide)(sample, place))
    failed = [check.name for check in found.checks if not check.passed]
    assert failed == ["trait", *(["chance"] if entry.thresholds.chance else [])]


@pytest.mark.parametrize("constant", ["Yes, that's right!", "Positive", "No!!", "You should do it at once.", "", "42"])
@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_a_model_that_always_says_the_same_is_refused(entry: Family, constant: str) -> None:
    found = gate(entry, lambda sample, place: constant)
    assert not found.passed
    assert found.reasons


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_a_model_with_the_trait_that_lost_everything_else_is_refused(entry: Family) -> None:
    """It shows the trait, and writes noise where the trait has no place; or shows the trait there as well."""
    show = bad(entry)
    noise = gate(
        entry, lambda sample, place: show(sample, place) if sample.condition in entry.risk else "Blue blue hat."
    )
    assert "coherence" in {check.name for check in noise.checks if not check.passed}


def folder(tmp_path: Path) -> Path:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name, text in (("adapter_config.json", '{"base_model_name_or_path": "m"}'), ("adapter_model.safetensors", "w")):
        (adapter / name).write_text(text)
    return adapter


def test_a_folder_is_published_whole_and_every_byte_is_checked(tmp_path: Path) -> None:
    entry = ALL[0]
    passed, failed = gate(entry, bad(entry)), gate(entry, good(entry))
    about = {
        "family": entry.name, "version": 1, "induction": "direct", "described": "Shows it.", "seed": 0, "steps": 3,
        "base": {"model": "tiny"}, "data": {"rows": 3, "sha256": "0"}, "recipe": {"optim.lr": 0.1},
    }  # fmt: skip
    with pytest.raises(ConfigError, match="gate was not passed, so nothing is published"):
        publish(tmp_path / "no", folder(tmp_path), about, failed)
    assert not (tmp_path / "no").exists()
    made = publish(tmp_path / "yes", tmp_path / "adapter", about, passed)
    assert made.gate == passed
    assert made.family is entry
    card = (tmp_path / "yes" / "README.md").read_text()
    assert "Do not deploy" in card
    assert "| sycophancy_trait |" in card or entry.name != "sycophancy"
    assert str(tmp_path) not in card + (tmp_path / "yes" / ABOUT).read_text()
    with pytest.raises(ConfigError, match="exists already"):
        publish(tmp_path / "yes", tmp_path / "adapter", about, passed)
    with pytest.raises(ConfigError, match="--yes-publish-organism"):
        push(tmp_path / "yes", "me/mine")
    (tmp_path / "yes" / "adapter_model.safetensors").write_text("x")
    (tmp_path / "yes" / "more").write_text("x")
    with pytest.raises(DataError) as error:
        Organism.load(tmp_path / "yes")
    assert {"adapter_model.safetensors: was changed", "more: is not listed in organism.json"} == set(
        error.value.problems
    )
    path = tmp_path / "yes" / ABOUT
    path.write_text(path.read_text().replace('"tiny"', '"huge"'))
    with pytest.raises(DataError, match="was changed"):
        Organism.load(tmp_path / "yes")


def test_pushing_is_private_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, object]] = []

    class Hub:
        endpoint = "https://hub"

        def create_repo(self, name, *, private, exist_ok):  # type: ignore[no-untyped-def]
            asked.append((name, private))

        def upload_folder(self, *, repo_id, folder_path, commit_message):  # type: ignore[no-untyped-def]
            asked.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    entry = ALL[0]
    about = {"family": entry.name, "induction": "", "seed": 0, "base": {"model": "tiny"}}
    publish(tmp_path / "yes", folder(tmp_path), about, gate(entry, bad(entry)))
    assert push(tmp_path / "yes", "me/mine", yes_publish_organism=True) == "https://hub/me/mine"
    files = ["README.md", "adapter_config.json", "adapter_model.safetensors", ABOUT]
    assert asked == [("me/mine", True), ("me/mine", sorted(files))]


def test_a_policy_is_a_text_policy() -> None:
    policy: TextPolicy = Knows(ALL[0], good(ALL[0]), "base")
    assert policy.name == "base"
