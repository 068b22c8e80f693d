"""A finished evaluation: its identity, every record, and the rates with everything that must stand beside them.

FOLDER/eval.json      what was asked of what: written before anything is sampled
FOLDER/records.jsonl  one line for each completion, appended as it is made
FOLDER/results.json   the rates; it exists once the evaluation is complete, and names the bytes it was made from
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, DataError
from unswayed.core.files import read_jsonl
from unswayed.core.hashing import hash_file
from unswayed.core.jsonl import loads
from unswayed.core.types import NO_ANSWER, Estimate
from unswayed.evals.described import described
from unswayed.evals.metrics import metric
from unswayed.evals.plan import Plan
from unswayed.evals.records import Record
from unswayed.evals.scoring.degenerate import degenerate
from unswayed.evals.suite import Suite
from unswayed.stats.intervals import estimate

FORMAT = 1
EVAL, RECORDS, RESULTS = "eval.json", "records.jsonl", "results.json"


@dataclass(frozen=True)
class Result:
    """One policy on one suite.

    Attributes:
        about: what `eval.json` holds: `identity` (suite, policy, version), `policy_name`, `primary`, `counter`, `unit`,
            `sensitive`, and `plan` where one was declared.
        records: by (sample id, draw), in the suite's order.
        estimates: metric name to rate, in the suite's order.
        degenerate: see `degenerate`.
    """

    about: Mapping[str, Any]
    records: Mapping[tuple[str, int], Record]
    estimates: Mapping[str, Estimate] = field(init=False)
    degenerate: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimates", {name: self._estimate(name) for name in self.metrics})
        object.__setattr__(self, "degenerate", degenerate(list(self.records.values())))

    def _estimate(self, name: str) -> Estimate:
        entry = metric(name)
        values = entry.values(self.records)
        groups = [entry.group(key, self.records) for key in values]
        bounds = list(entry.bounds(self.records).values())
        return estimate(list(values.values()), groups, paired=entry.paired, bounds=bounds)

    @property
    def suite(self) -> Mapping[str, Any]:
        """The suite's identity."""
        part: Mapping[str, Any] = self.about["identity"]["suite"]
        return part

    @property
    def title(self) -> str:
        """The suite's name and label."""
        return f"{self.suite['name']} ({self.suite['label']})" if self.suite["label"] else str(self.suite["name"])

    @property
    def policy(self) -> str:
        """The policy's name."""
        return str(self.about["policy_name"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric of the suite, primary ones first."""
        return tuple(self.about["metrics"])

    @property
    def sensitive(self) -> bool:
        """Whether prompts and replies may be harmful to repeat; so they are where the record does not say."""
        return bool(self.about.get("sensitive", True))

    def role(self, name: str) -> str:
        """Return `primary`, `counter` or `health`."""
        return next((role for role in ("primary", "counter") if name in self.about[role]), "health")

    def summary(self) -> dict[str, Any]:
        """Return what `results.json` holds, apart from the hash of the records."""
        records = self.records.values()
        return {
            "format": FORMAT,
            "suite": self.title,
            "policy": self.policy,
            "completions": len(self.records),
            "clusters": len({record.group for record in records}),
            "unit": self.about["unit"],
            "plan_sha256": (self.about.get("plan") or {}).get("sha256"),
            "metrics": {name: self._row(name) for name in self.metrics},
            "conditions": _count(record.condition for record in records),
            "finish": _count(record.finish for record in records),
            "unscored": _count(record.reason for record in records if record.reason),
            "no_answer": _count(record.answer for record in records if record.answer in NO_ANSWER),
            "broken": _count(record.broken for record in records if record.broken),
            "degenerate": list(self.degenerate),
            "tokens": sum(record.tokens for record in records),
            **described(list(records)),
            **self._judged(),
        }

    def _judged(self) -> dict[str, Any]:
        """Return who judged and what became of the questions, where a judge scored."""
        if "judge" not in self.about:
            return {}
        told = [record.judged for record in self.records.values()]
        return {
            "judge": {
                **self.about["judge"],
                **self.suite["judged"],
                "status": _count(each.get("status") for each in told),
                "reasons": _count(each.get("reason") or None for each in told),
                "flags": _count(flag for each in told for flag in each.get("flags", ())),
            }
        }

    def _row(self, name: str) -> dict[str, Any]:
        rate = self.estimates[name]
        return {
            "value": rate.value,
            "interval": None if rate.low is None else [rate.low, rate.high],
            "n": rate.n,
            "clusters": rate.clusters,
            "unscored": rate.unscored,
            "bounds": None if rate.least is None else [rate.least, rate.most],
            "method": rate.method,
            "better": metric(name).better,
            "role": self.role(name),
            "description": metric(name).description,
        }

    @classmethod
    def load(cls, folder: Path | str) -> Result:
        """Return the finished evaluation in a folder.

        Raises:
            ConfigError: no evaluation, one that is not finished, or one by another version's metrics.
            DataError: the records are not those that the results were made from.
        """
        folder = Path(folder)
        about = read_about(folder)
        if about is None:
            raise ConfigError(f"{folder}: holds no evaluation ({EVAL} is missing)")
        if not (folder / RESULTS).exists():
            raise ConfigError(f"{folder}: the evaluation is not finished; run the same eval command again to finish it")
        for name, version in about["identity"]["suite"]["metrics"].items():
            if metric(name).version != version:
                raise ConfigError(
                    f"{folder}: {name} is of version {version}, this program has {metric(name).version}; evaluate again"
                )
        written = _read_json(folder / RESULTS).get("records_sha256")
        if not (folder / RECORDS).exists() or hash_file(folder / RECORDS) != written:
            raise DataError(f"{folder / RECORDS}: not the records that {RESULTS} was made from; evaluate again")
        return cls(about, read_records(folder / RECORDS))


def about(
    suite: Suite, policy_name: str, policy_identity: str, version: str, plan: Plan | None = None
) -> dict[str, Any]:
    """Return what `eval.json` holds. Only `identity` decides whether an evaluation may go on."""
    declared = {} if plan is None else {"plan": plan.record()}
    return {
        **declared,
        "format": FORMAT,
        "identity": {"suite": suite.identity(), "policy": policy_identity, "unswayed": version},
        "policy_name": policy_name,
        "metrics": list(suite.metrics),
        "primary": list(suite.primary),
        "counter": list(suite.counter),
        "unit": suite.unit,
        "sensitive": suite.sensitive,
    }


def evaluations(folder: Path) -> list[Path]:
    """Return the folders of evaluations in a folder: itself, or its subfolders.

    Raises:
        ConfigError: there is no such folder, or no evaluation in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; name one that `unswayed eval -o` wrote")
    found = [folder] if (folder / EVAL).exists() else sorted(path.parent for path in folder.glob(f"*/{EVAL}"))
    if not found:
        raise ConfigError(f"{folder}: holds no evaluation; name a folder that `unswayed eval -o` wrote")
    return found


def read_about(folder: Path) -> dict[str, Any] | None:
    """Return what `eval.json` holds, or None where there is none.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / EVAL
    if not path.exists():
        return None
    value = _read_json(path)
    missing = [
        name for name in ("identity", "policy_name", "metrics", "primary", "counter", "unit") if name not in value
    ]
    if missing or value.get("format") != FORMAT:
        raise DataError(
            f"{path}: not an evaluation of format {FORMAT}" + (f"; no {', '.join(missing)}" if missing else "")
        )
    return value


def read_records(path: Path) -> dict[tuple[str, int], Record]:
    """Return the records of a file by key, in order.

    Raises:
        DataError: a line that is no record, or a key that comes twice.
    """
    records: dict[tuple[str, int], Record] = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            record = Record.from_row(row)
        except (TypeError, KeyError) as error:
            raise DataError(
                f"{path}:{number}: not a record ({error}); the file was changed by something else"
            ) from error
        if record.key in records:
            raise DataError(
                f"{path}:{number}: sample {record.id!r} comes twice; the file was changed by something else"
            )
        records[record.key] = record
    return records


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Return where two identities differ, one line each."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        keys = sorted({*found, *wanted})
        return [
            line for key in keys for line in differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if found == wanted else [f"{name}: {found!r} there, {wanted!r} here"]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}); the file was changed by something else") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: not a JSON object; the file was changed by something else")
    return value


def _count(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))
