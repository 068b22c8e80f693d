"""Put an organism on the hub: only on purpose, only whole, private unless it is said otherwise."""

from __future__ import annotations

from pathlib import Path

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.organisms.folder import Organism

YES = "--yes-publish-organism"


def push(path: Path | str, repository: str, *, yes_publish_organism: bool = False, public: bool = False) -> str:
    """Upload an organism's folder to a model repository of the hub and return its address.

    Args:
        path: an organism's folder; every byte is verified first.
        repository: `OWNER/NAME`; created where it does not exist.
        yes_publish_organism: that a model which misbehaves on purpose leaves this machine is meant.
        public: everybody may read it.

    Raises:
        ConfigError: it was not confirmed, or there is no organism.
        DataError: a byte that differs.
        UnswayedError: the hub refuses.
    """
    organism = Organism.load(path)
    if not yes_publish_organism:
        raise ConfigError(
            f"{path} is a model that misbehaves on purpose ({organism.family.name}); nothing was uploaded. Say that it "
            f"is meant with {YES} (in Python: yes_publish_organism=True)"
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi()
    try:
        hub.create_repo(repository, private=not public, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=str(organism.path), commit_message="Publish a model organism")
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UnswayedError(f"{repository}: the hub did not take {path}: {error}") from error
    return f"https://{hub.endpoint.removeprefix('https://')}/{repository}"
