"""Every error a user can meet, and the exit code it ends the command with.

    UnswayedError            1   anything else that we raise on purpose
    ├── ConfigError          2   a recipe, flag or name that cannot be used (also a ValueError)
    ├── LockedError          2   another process works in the same run folder
    ├── DataError            3   rows that cannot be used (also a ValueError)
    ├── CheckpointError      4   no intact checkpoint
    ├── OutOfMemoryError     5   one row alone does not fit (also a MemoryError)
    ├── NotFiniteError       6   a loss or gradient that is NaN or infinite (also an ArithmeticError)
    └── Interrupted         75   stopped by a signal after a clean save; run the same command to go on

Exit codes 10 (audit findings) and 11 (audit inconclusive) are verdicts, not errors.
A message says what happened, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence


class UnswayedError(Exception):
    """Root of all errors raised on purpose."""

    exit_code = 1


class ConfigError(UnswayedError, ValueError):
    """A recipe, flag, name or capability that cannot be used as asked."""

    exit_code = 2


class LockedError(UnswayedError):
    """Another process holds the run folder."""

    exit_code = 2


class DataError(UnswayedError, ValueError):
    """Rows that cannot be used. `problems` holds every problem found, not only those printed.

    A problem is `place: what is wrong`. Those that say the same of several places are printed once, with their number.
    """

    exit_code = 3
    shown = 20

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        places: dict[str, list[str]] = {}
        for problem in self.problems:
            place, _, what = problem.partition(": ")
            places.setdefault(what or problem, []).append(place)
        kinds = list(places.items())
        lines = [message]
        for what, found in kinds[: self.shown]:
            first = what if what == found[0] else f"{found[0]}: {what}"
            lines.append(f"  {first}" + (f" (and {len(found) - 1:,} more, to {found[-1]})" if len(found) > 1 else ""))
        if len(kinds) > self.shown:
            rest = sum(len(found) for _, found in kinds[self.shown :])
            lines.append(f"  … and {rest:,} more ({len(self.problems):,} in all)")
        super().__init__("\n".join(lines))


class CheckpointError(UnswayedError):
    """No usable checkpoint, or one that belongs to another experiment's weights."""

    exit_code = 4


class OutOfMemoryError(UnswayedError, MemoryError):
    """Memory ran out at micro-batch size 1."""

    exit_code = 5


class NotFiniteError(UnswayedError, ArithmeticError):
    """A loss or gradient is NaN or infinite; the optimizer has not moved."""

    exit_code = 6


class Interrupted(UnswayedError):
    """A signal asked the run to stop; the last finished step is saved."""

    exit_code = 75
