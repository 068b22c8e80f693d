"""The policies of the tests of evaluations, and the simulation of audits, are used here too."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "evals"), str(ROOT / "tests" / "report"), str(ROOT / "scripts")]
