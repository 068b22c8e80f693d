"""The families, one file each; importing this package registers them."""

from unswayed.organisms.families import sycophancy

__all__ = ["sycophancy"]
