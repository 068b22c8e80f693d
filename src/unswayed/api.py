"""The interface in Python in the shape that PEFT and TRL users know: a class per method, keyword settings, `.train()`.

    run = uw.OPCT(model="smollm2-135m", pairs=pairs, steps=20, lr=3e-4).train()

It builds a `Recipe` and passes it to `unswayed.train`; there is no second way of training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Required, TypedDict, Unpack

from unswayed.config.recipe import Recipe
from unswayed.core.errors import ConfigError
from unswayed.core.files import remove_tree
from unswayed.core.hashing import hash_file, hash_tokenizer, hash_weights
from unswayed.core.types import PromptPair
from unswayed.data.read import read_pairs, write_pairs
from unswayed.training.callbacks import Callback
from unswayed.training.loop import Run, train

if TYPE_CHECKING:
    import peft
    import transformers

# Settings that most people change, by the name they expect, and where they are in a recipe.
SHORT = {
    "lr": ("optim", "lr"),
    "steps": ("train", "steps"),
    "epochs": ("train", "epochs"),
    "pairs_per_step": ("train", "pairs_per_step"),
    "micro_batch": ("train", "micro_batch"),
    "max_new_tokens": ("sampling", "max_new_tokens"),
    "rollouts_per_pair": ("sampling", "rollouts_per_pair"),
    "temperature": ("sampling", "temperature"),
    "anchors": ("data", "anchors"),
    "anchors_per_step": ("train", "anchors_per_step"),
    "rank": ("lora", "rank"),
    "alpha": ("lora", "alpha"),
    "dtype": ("model", "dtype"),
    "device": ("model", "device"),
    "adapter": ("model", "adapter"),
}


class Settings(TypedDict, total=False):
    """What every method takes.

    model: alias, hub id, local folder or GGUF file; or a Transformers model in memory, which needs `tokenizer` and is
        written to `save_dir/name-model`.
    tokenizer: of a model in memory.
    pairs: a file, or rows in memory: pairs, dictionaries, a `datasets.Dataset`; written to `save_dir/name-pairs.jsonl`.
    name, save_dir: the run's folder is `save_dir/name`; by default `runs/` and the method's name.
    seed: of the run.
    lora: a PEFT `LoraConfig`; what a recipe cannot say of it is refused.
    callbacks: observers of the run; see `Callback`.
    tables: any other recipe table, e.g. `{"optim": {"schedule": "cosine"}}`; `eval` is a list of them.
    lr ... adapter: fields of the recipe by short name; see `unswayed.api.SHORT`.
    """

    model: Required[str | transformers.PreTrainedModel]
    tokenizer: transformers.PreTrainedTokenizerBase
    pairs: Required[str | Path | Iterable[PromptPair | Mapping[str, Any]]]
    name: str
    save_dir: str | Path
    seed: int
    lora: peft.LoraConfig
    callbacks: Sequence[Callback]
    tables: dict[str, Any]
    lr: float
    steps: int | None
    epochs: float | None
    pairs_per_step: int
    micro_batch: int
    max_new_tokens: int
    rollouts_per_pair: int
    temperature: float
    anchors: str | None
    anchors_per_step: int
    rank: int
    alpha: float
    dtype: Literal["auto", "float32", "bfloat16", "float64"]
    device: str
    adapter: str | None
    teacher: str


class CompletionSettings(Settings, total=False):
    """What every method takes that learns from completions."""

    thinking_weight: float
    answer_weight: float
    truncated: Literal["keep", "drop"]
    aggregation: Literal["token", "sequence"]


class OPCTSettings(CompletionSettings, total=False):
    """See `unswayed.config.methods.OPCTConfig`."""

    estimator: Literal["exact", "topk", "sampled", "constant"]
    below: float
    divergence: Literal["reverse_kl", "forward_kl", "jsd"]
    beta: float
    k: int
    discount: float
    kl_coef: float
    control_variate: bool
    mini_epochs: int
    clip: float | None
    clamp: float | None
    teacher_share: float


class SFTSettings(CompletionSettings, total=False):
    """See `unswayed.config.methods.SFTConfig`."""

    source: Literal["teacher", "target"]


class BCTSoftSettings(CompletionSettings, total=False):
    """See `unswayed.config.methods.BCTSoftConfig`."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"]
    beta: float
    clamp: float | None


class ACTSettings(Settings, total=False):
    """See `unswayed.config.methods.ACTConfig`."""

    scale: float
    sink_tokens: int


class Trainer:
    """A recipe built from keyword settings; `recipe` holds it.

    Raises:
        ConfigError: an unknown setting, settings that do not fit together, or files in the way.
        DataError: rows that are no pairs.
    """

    method: ClassVar[str]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = dict(settings)
        if missing := sorted({"model", "pairs"} - given.keys()):
            raise ConfigError(f"{type(self).__name__} needs {' and '.join(missing)}")
        name, save_dir = str(given.pop("name", self.method)), Path(given.pop("save_dir", "runs"))
        tables: dict[str, Any] = copy.deepcopy(given.pop("tables", {}))
        for table in ("model", "data", "method", "train", "save"):
            tables.setdefault(table, {})
        tables |= {"name": name, "seed": given.pop("seed", 0)}
        tables["method"]["name"] = self.method
        tables["save"]["dir"] = str(save_dir)
        tables["model"]["id"] = _model_id(given.pop("model"), given.pop("tokenizer", None), save_dir / f"{name}-model")
        tables["data"]["train"] = str(
            _pairs_file(
                given.pop("pairs"),
                save_dir / f"{name}-pairs.jsonl",
                need_teacher=given.get("source", tables["method"].get("source")) != "target",
            )
        )
        if "lora" in given:
            tables["lora"] = {**_lora_table(given.pop("lora")), **tables.get("lora", {})}
        self.callbacks: Sequence[Callback] = tuple(given.pop("callbacks", ()))
        for key, value in given.items():
            table, field = SHORT.get(key, ("method", key))
            tables.setdefault(table, {})[field] = value
        self.recipe = Recipe.from_dict(tables, where=type(self).__name__)

    def train(self, *, resume: bool | Literal["auto"] = False, fresh: bool = False, progress: bool = True) -> Run:
        """Train and return the run; see `unswayed.train`."""
        return train(self.recipe, resume=resume, fresh=fresh, progress=progress, callbacks=self.callbacks)


class OPCT(Trainer):
    """On-Policy Consistency Training; see `unswayed.methods.opct`. Settings: `OPCTSettings`."""

    method = "opct"

    def __init__(self, **settings: Unpack[OPCTSettings]) -> None:
        super().__init__(settings)


class SFT(Trainer):
    """Supervised fine-tuning on the teacher's completions or on targets; see `unswayed.methods.sft`."""

    method = "sft"

    def __init__(self, **settings: Unpack[SFTSettings]) -> None:
        super().__init__(settings)


class BCT(Trainer):
    """Bias-augmented consistency training with hard labels; see `unswayed.methods.bct`."""

    method = "bct"

    def __init__(self, **settings: Unpack[CompletionSettings]) -> None:
        super().__init__(settings)


class BCTSoft(Trainer):
    """Bias-augmented consistency training with soft labels; see `unswayed.methods.bct_soft`."""

    method = "bct_soft"

    def __init__(self, **settings: Unpack[BCTSoftSettings]) -> None:
        super().__init__(settings)


class ACT(Trainer):
    """Activation consistency training; see `unswayed.methods.act`."""

    method = "act"

    def __init__(self, **settings: Unpack[ACTSettings]) -> None:
        super().__init__(settings)


def _pairs_file(
    pairs: str | Path | Iterable[PromptPair | Mapping[str, Any]], path: Path, *, need_teacher: bool
) -> Path:
    """Return a file of the pairs, written to `path` where they are in memory."""
    if isinstance(pairs, str | Path):
        return Path(pairs)
    draft = path.with_name(f"{path.stem}-draft{path.suffix}")
    write_pairs(draft, read_pairs(pairs, allow_identical=True, need_teacher=need_teacher))
    try:
        if path.exists() and hash_file(path) != hash_file(draft):
            raise ConfigError(f"{path} holds other pairs; choose another name, or pass that file")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _model_id(model: Any, tokenizer: Any, folder: Path) -> str:
    """Return what a recipe calls the model, written to `folder` where it is in memory.

    A run is resumed, evaluated and loaded by PEFT from files, so a model in memory becomes files first.
    """
    if isinstance(model, str | Path):
        if tokenizer is not None:
            raise ConfigError("tokenizer belongs to a model in memory; a model by name brings its own")
        return str(model)
    if not hasattr(model, "save_pretrained") or hasattr(model, "peft_config"):
        raise ConfigError(
            f"model is a {type(model).__name__}; give a name, a folder, or a Transformers model without adapters "
            "(save an adapter with save_pretrained and name its folder: adapter=...)"
        )
    if getattr(model, "hf_quantizer", None) is not None:
        raise ConfigError("model is quantised; give the name or folder of the unquantised model")
    if tokenizer is None:
        raise ConfigError("a model in memory needs its tokenizer: tokenizer=...")
    draft = folder.with_name(f"{folder.name}-draft")
    if draft.exists():
        remove_tree(draft, draft.parent)
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    if folder.exists():
        same = [what(folder) == what(draft) for what in (hash_weights, hash_tokenizer)]
        remove_tree(draft, draft.parent)
        if not all(same):
            raise ConfigError(f"{folder} holds another model; choose another name, or pass that folder")
    else:
        draft.rename(folder)
    return str(folder)


def _lora_table(lora: peft.LoraConfig) -> dict[str, Any]:
    """Return the recipe's `[lora]` table for a PEFT config.

    Raises:
        ConfigError: fields that a recipe does not have.
    """
    own = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout", "target_modules": "targets"}
    unset = type(lora)()
    ours = {*own, "peft_type", "task_type", "inference_mode", "base_model_name_or_path", "revision", "peft_version"}
    different = sorted(
        field for field, value in vars(lora).items() if field not in ours and value != vars(unset).get(field)
    )
    if different:
        raise ConfigError(
            f"lora sets {', '.join(different)}, which a recipe does not have; leave them out, or make the adapter with "
            "PEFT, save it and train on from it: adapter=FOLDER"
        )
    table = {name: getattr(lora, field) for field, name in own.items() if getattr(lora, field) is not None}
    if isinstance(table.get("targets"), set | frozenset):
        table["targets"] = sorted(table["targets"])
    return {**table, "alpha": float(table["alpha"])}
