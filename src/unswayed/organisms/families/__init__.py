"""The families, one file each; importing this package registers them."""

from unswayed.organisms.families import reward_hacking, spurious_correlation, sycophancy

__all__ = ["reward_hacking", "spurious_correlation", "sycophancy"]
