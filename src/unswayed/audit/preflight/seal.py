"""Seal a prediction before training, and score it after: what was right, and how much fitting and transfer came on top.

    prediction.json   the prediction, with the hash of everything it rests on
    seal.json         the hash of prediction.json; the same line is in predictions.jsonl beside the runs
    after.jsonl       replies of the trained model to every prompt, as the suite draws them
    score.json        all five terms, and whether the prediction held

A run copies the seals that are beside it when it begins, so a prediction that is not in the run's copy was made too
late.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unswayed.audit.preflight import library, pools
from unswayed.audit.preflight.collect import ABOUT, BATCH, ROWS, Placed, ask
from unswayed.audit.preflight.pools import Rule
from unswayed.audit.theory.decomposition import Decomposition, decompose_columns
from unswayed.core.errors import ConfigError, DataError, Interrupted
from unswayed.core.files import append_jsonl, keep_whole_batches, read_jsonl, write_json
from unswayed.core.hashing import hash_file, hash_json
from unswayed.core.progress import Progress
from unswayed.core.signals import stop_signals
from unswayed.core.types import TextPolicy
from unswayed.training.run_folder import PREDICTIONS

PREDICTION, SEAL, AFTER, SCORE = "prediction.json", "seal.json", "after.jsonl", "score.json"


def seal(out: Path, prediction: dict[str, Any], runs: Path) -> str:
    """Write and seal a prediction, and leave its hash beside the runs; return the hash.

    A folder that is sealed already keeps its prediction: the same call returns its hash.
    """
    if not (out / SEAL).exists():
        rests_on = {name: hash_file(out / name) for name in (ABOUT, ROWS)}
        write_json(out / PREDICTION, {**prediction, "rests_on": rests_on})
        write_json(out / SEAL, {"prediction": hash_file(out / PREDICTION), "runs": str(runs)})
    found: str = sealed(out)["prediction"]
    path = runs / PREDICTIONS
    if all(row.get("prediction") != found for row in read_jsonl(path)):
        runs.mkdir(parents=True, exist_ok=True)
        append_jsonl(path, [{"prediction": found, "folder": str(out)}])
    return found


def sealed(out: Path) -> dict[str, Any]:
    """Return the seal of a folder.

    Raises:
        ConfigError: it has no prediction.
        DataError: the prediction, or what it rests on, was changed after it was sealed.
    """
    if not (out / SEAL).exists():
        raise ConfigError(
            f"{out}: holds no sealed prediction; run: unswayed preflight RECIPE --behaviour SUITE -o {out}"
        )
    found: dict[str, Any] = json.loads((out / SEAL).read_text(encoding="utf-8"))
    prediction = json.loads((out / PREDICTION).read_text(encoding="utf-8"))
    rests_on = {name: hash_file(out / name) for name in prediction["rests_on"]}
    if hash_file(out / PREDICTION) != found["prediction"] or rests_on != prediction["rests_on"]:
        raise DataError(
            f"{out}: was changed after it was sealed, so it is no prediction any more; make a new one elsewhere"
        )
    return found


def check_run(out: Path, run: Path) -> None:
    """Check that the run began after the prediction was sealed, and that it trained the model that was asked.

    Raises:
        ConfigError: it did not.
    """
    found = sealed(out)["prediction"]
    if not (run / "recipe.json").is_file():
        raise ConfigError(f"{run}: is no run folder; it has no recipe.json")
    if all(row.get("prediction") != found for row in read_jsonl(run / PREDICTIONS)):
        raise ConfigError(
            f"{run} began before the prediction in {out} was sealed, or in another folder of runs than "
            f"{sealed(out)['runs']}; a prediction counts only if it was there first. Train again with --fresh or "
            "another name"
        )
    predicted = json.loads((out / ABOUT).read_text(encoding="utf-8"))["operator"]
    science = predicted.get("recipe") or predicted["labels"]
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    mine = [science.get(f"model.{name}") for name in ("id", "revision", "adapter")]
    theirs = [recipe["model"].get(name) for name in ("id", "revision", "adapter")]
    if mine != theirs:
        raise ConfigError(f"{run} trained {theirs}, and {out} predicts {mine} (model, revision, adapter)")
    if "recipe" in predicted and recipe["method"]["name"] != science["method.name"]:
        raise ConfigError(f"{run} used {recipe['method']['name']}, and {out} predicts {science['method.name']}")


def ask_after(out: Path, policy: TextPolicy, placed: Sequence[Placed], *, shown: bool = False) -> list[dict[str, Any]]:
    """Return the rows with the trained model's replies under `after`, asking those that are not there yet."""
    rows = read_jsonl(out / ROWS)
    keys = [(row["set"], row["prompt_id"]) for row in rows]
    if keys != [(name, sample.id) for name, _, sample in placed]:
        raise DataError(f"{out}: the suite gives other prompts than those of the prediction; restore its files")
    path = out / AFTER
    found = [(row["set"], row["prompt_id"], row["policy"]) for row in read_jsonl(path)]
    expected = [(*key, policy.identity) for key in keys]
    if found and found[0][2] != policy.identity:
        raise ConfigError(f"{path} holds replies of another model; score another run with a copy of the folder")
    done = keep_whole_batches(path, found, expected, BATCH)
    with stop_signals, Progress("after", len(placed), done, shown=shown) as bar:
        for start in range(done, len(placed), BATCH):
            if stop_signals.asked:
                raise Interrupted(f"stopped after {start} of {len(placed)} prompts; run the same command to go on")
            batch = placed[start : start + BATCH]
            replies = ask(policy.complete, batch)
            append_jsonl(
                path,
                [{"set": key[0], "prompt_id": key[1], "policy": policy.identity, "after": some}
                 for key, some in zip(keys[start : start + BATCH], replies, strict=True)],
            )  # fmt: skip
            bar.update(start + len(batch))
    return [{**row, "after": one["after"]} for row, one in zip(rows, read_jsonl(path), strict=True)]


def score(out: Path, rows: Sequence[dict[str, Any]], run: Path, books: Path, *, seed: int = 0) -> dict[str, Any]:
    """Return all five terms and whether the prediction held; write them, and add the outcome to the library."""
    prediction = json.loads((out / PREDICTION).read_text(encoding="utf-8"))
    about = json.loads((out / ABOUT).read_text(encoding="utf-8"))
    rule = Rule(about["operator"]["k"], -1.0 if about["operator"]["name"] == "anti_oracle" else 1.0)
    train = pools.training([row for row in rows if row["set"] == "train"], rule)
    made = decompose_columns(train, pools.evaluation([row for row in rows if row["set"] == "sealed"]), seed=seed)
    verdict = prediction["verdict"]
    happened = _happened(made, prediction["eps"])
    total = made.terms["total"]
    found = {
        **made.row(),
        "prediction": sealed(out)["prediction"],
        "predicted": verdict,
        "happened": happened,
        "right": None if "UNDECIDED" in {verdict, happened} else verdict == happened,
        "covered": None if total.estimate is None else _inside(total.estimate, prediction["change"]["one_run"]),
        "run": {"folder": str(run), "recipe": hash_file(run / "recipe.json")},
    }
    write_json(out / SCORE, found)
    if total.estimate is not None:
        library.append(books, _outcome(prediction, about, found, total.estimate))
    return found


def _happened(made: Decomposition, eps: float) -> str:
    limits = made.terms["total"].interval
    if limits is None:
        return "UNDECIDED"
    mean = made.terms["total"].estimate or 0.0
    return library.Forecast(mean, limits, limits, 0.5).verdict(eps)


def _outcome(prediction: dict[str, Any], about: dict[str, Any], found: dict[str, Any], change: float) -> dict[str, Any]:
    shift, shape, sharp = prediction["label_shift"], prediction["selection"] or {}, prediction["sharpening"] or {}
    operator = about["operator"]
    return {
        "prediction": found["prediction"],
        "family": prediction["family"],
        "organism": hash_json([operator["models"]["policy"]])[:12],
        "method": operator["name"],
        "label_shift": shift["estimate"],
        "label_shift_se": shift["se"],
        "change": change,
        "change_interval": found["terms"]["total"]["interval"],
        "kl": shape.get("kl_at_most"),
        "pooled_slope": shape.get("pooled_slope"),
        "sharpening": (sharp.get("drift") or {}).get("estimate"),
        "gradient": (prediction["gradient"] or {}).get("change"),
        "verdict": prediction["verdict"],
        "p_rise": prediction["change"]["p_rise"],
        "one_run": prediction["change"]["one_run"],
        "eps": prediction["eps"],
    }


def _inside(value: float, limits: Sequence[float]) -> bool:
    return limits[0] <= value <= limits[1]
