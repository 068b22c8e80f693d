"""One file a method. `build` turns a recipe's method table into one."""

from __future__ import annotations

from unswayed.config.methods import ACTConfig, BCTConfig, BCTSoftConfig, MethodConfig, OPCTConfig
from unswayed.methods.act import ACT
from unswayed.methods.base import Collected, Method, Step, Tokens
from unswayed.methods.bct import BCT
from unswayed.methods.bct_soft import BCTSoft
from unswayed.methods.opct import OPCT
from unswayed.methods.sft import SFT

__all__ = ["ACT", "BCT", "OPCT", "SFT", "BCTSoft", "Collected", "Method", "Step", "Tokens", "build"]


def build(config: MethodConfig) -> Method:
    """Return the method a recipe's `[method]` table describes."""
    match config:
        case OPCTConfig():
            return OPCT(config)
        case BCTConfig():
            return BCT(config)
        case BCTSoftConfig():
            return BCTSoft(config)
        case ACTConfig():
            return ACT(config)
        case _:
            return SFT(config)
