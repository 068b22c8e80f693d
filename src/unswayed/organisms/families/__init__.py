"""The families, one file each; importing this package registers them."""

from unswayed.organisms.families import (
    broad_probes,
    emergent_misalignment,
    reward_hacking,
    spurious_correlation,
    sycophancy,
)

__all__ = ["broad_probes", "emergent_misalignment", "reward_hacking", "spurious_correlation", "sycophancy"]
