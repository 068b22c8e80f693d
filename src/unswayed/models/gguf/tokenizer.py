"""Rebuilds the tokenizer of a GGUF file with transformers, corrects known errors, and tests it before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.files import write_json
from unswayed.core.jsonl import loads
from unswayed.models.gguf.header import Header

_PROBES = (
    "The capital of France is Paris.",
    "  two spaces,\ttab\n\nand lines\r\n",
    "1. one\n\n12 twelve  345 x2y 3.14",
    "don't I'LL we’ve",
    "naïve Ünïcödé 漢字 🙂 ½²٣",
    "def f(x):\n        return x ** 2  # ok",
)


def convert_tokenizer(header: Header, alone: Path, folder: Path, name: str, eos: str | None) -> None:
    """Write the tokenizer of `alone/model.gguf` into `folder`, corrected and tested.

    Raises:
        ConfigError: it cannot be rebuilt exactly.
        UnswayedError: it lost its template or the token that ends a turn, `eos`.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file="model.gguf", local_files_only=True)
    _mend_splitting(tokenizer, header, name)
    tokenizer.model_max_length = header.context
    tokenizer.save_pretrained(folder)
    # How the tokenizer was loaded is written down as if it belonged to it.
    settings = loads((folder / "tokenizer_config.json").read_bytes())
    for key in ("is_local", "local_files_only", "name_or_path", "gguf_file"):
        settings.pop(key, None)
    write_json(folder / "tokenizer_config.json", {**settings, "model_max_length": header.context})
    reloaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _check_tokenizer(reloaded, tokenizer, header, name)
    if eos is not None and (reloaded.eos_token != eos or reloaded.convert_tokens_to_ids(eos) != header.eos):
        raise UnswayedError(f"{name}: a turn should end with {eos}, but the tokenizer says {reloaded.eos_token}")
    if eos is not None and not reloaded.chat_template:
        raise UnswayedError(f"{name}: the chat template was lost")


def _mend_splitting(tokenizer: Any, header: Header, name: str) -> None:
    """Give the tokenizer the split into words that its merges were learned on.

    A GGUF file names that split and transformers knows some of the names; any other it replaces by GPT-2's split
    without a word. For `smollm` (and two that split alike) that is nearly right: digits are cut off one by one, which
    GPT-2's split does not do. Left so, "\\n\\n1" becomes three tokens where the model was trained on two, in every
    numbered list.
    """
    from tokenizers import pre_tokenizers

    if header.tokenizer != "gpt2" or header.pre == "gpt-2":
        return
    if header.pre in {"smollm", "starcoder", "refact"}:
        words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
        return
    try:
        from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS as known
    except ImportError:
        known = {}
    if header.pre not in known:
        raise ConfigError(
            f"{name}: its tokenizer splits text by the rule {header.pre!r}, which cannot be rebuilt exactly; use the "
            "model's original safetensors and tokenizer"
        )


def _check_tokenizer(reloaded: Any, tokenizer: Any, header: Header, name: str) -> None:
    """Try the tokenizer that was stored: ids, special tokens, round trips, equality with the corrected one."""
    wrong = []
    if len(reloaded) != len(header.tokens):
        wrong.append(f"{len(reloaded)} tokens instead of {len(header.tokens)}")
    for index in header.control:
        if reloaded.encode(header.tokens[index], add_special_tokens=False) != [index]:
            wrong.append(f"{header.tokens[index]} is not one token")
    for text in _PROBES:
        ids = reloaded.encode(text, add_special_tokens=False)
        # The byte-level kind loses nothing; others may normalise spaces and Unicode, as their originals do.
        if header.tokenizer == "gpt2" and reloaded.decode(ids, clean_up_tokenization_spaces=False) != text:
            wrong.append(f"{text!r} does not survive encoding and decoding")
        if ids != tokenizer.encode(text, add_special_tokens=False):
            wrong.append(f"{text!r} is cut differently once stored")
        full = reloaded.encode(text)
        if full[:1] != ([reloaded.bos_token_id] if header.adds_bos else ids[:1]) or full[1:2] == [
            reloaded.bos_token_id
        ]:
            wrong.append(f"{text!r} does not begin as the file says (add_bos_token {header.adds_bos})")
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ConfigError(f"{name}: its tokenizer cannot be rebuilt: {wrong[0]}{more}; use the original tokenizer")
