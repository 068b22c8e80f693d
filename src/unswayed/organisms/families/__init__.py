"""The families, one file each; importing this package registers them."""

from unswayed.organisms.families import emergent_misalignment, reward_hacking, spurious_correlation, sycophancy

__all__ = ["emergent_misalignment", "reward_hacking", "spurious_correlation", "sycophancy"]
