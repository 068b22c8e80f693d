"""Small tokenizers with chat templates of every family that behaves in a way of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny import MERGES

CHATML = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{%- endif %}"
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# The template writes the BOS, and the tokenizer would add one as well.
LLAMA = (
    "{{- bos_token }}{%- for m in messages %}"
    "{{- '<|start|>' + m.role + '<|end|>\n\n' + m.content | trim + '<|eot|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant<|end|>\n\n' }}{%- endif %}"
)
# No system role, strict alternation, no generation prompt beyond the end of the user's turn, white space as ids.
MISTRAL = (
    "{{- bos_token }}{%- for m in messages %}"
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant') }}{%- endif %}"
    "{%- if m.role == 'user' %}{{- '[INST] ' + m.content + ' [/INST]' }}"
    "{%- else %}{{- ' ' + m.content + eos_token }}{%- endif %}{%- endfor %}"
)
# The assistant is called model; the system text stands at the top of the first user turn.
GEMMA = (
    "{{- bos_token }}{%- set lead = '' %}{%- set rest = messages %}"
    "{%- if messages[0].role == 'system' %}{%- set lead = messages[0].content + '\n\n' %}"
    "{%- set rest = messages[1:] %}{%- endif %}"
    "{%- for m in rest %}{%- set who = 'model' if m.role == 'assistant' else m.role %}"
    "{{- '<start_of_turn>' + who + '\n' + (lead if loop.first else '') + m.content | trim + '<end_of_turn>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}"
)
# Writes today's date unless it is given one.
DATED = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '26 Jul 2024' %}"
    "{%- endif %}{%- endif %}{{- '<|im_start|>system\nToday is ' + date_string + '<|im_end|>\n' }}" + CHATML
)
# Never asks for a date, always looks at the clock, in two formats and inside a macro.
CLOCK = (
    "{%- macro top() %}{{- strftime_now('%Y-%m-%d') + ', a ' + strftime_now(\"%A\") }}{%- endmacro %}"
    "{{- '<|im_start|>system\nToday is ' + top() + '<|im_end|>\n' }}" + CHATML
)
# Replies and thoughts are messages on channels, as in gpt-oss.
CHANNELS = (
    "{%- for m in messages %}{{- '<|start|>' + m.role }}"
    "{%- if m.role == 'assistant' %}{{- '<|channel|>final' }}{%- endif %}{{- '<|message|>' + m.content }}"
    "{{- '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"
)
# Thinking: dropped from earlier turns; `enable_thinking = false` opens the answer with an empty thought.
THINKING = (
    "{%- for m in messages %}{%- set text = m.content %}"
    "{%- if m.role == 'assistant' and not loop.last and '</think>' in text %}"
    "{%- set text = text.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>' + m.role + '\n' + text + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if open_thinking is defined %}{{- '<think>\n' }}{%- endif %}"
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
MARKS = (
    "{%- for m in messages %}{{- '<' + m.role + '>' + m.content + '<end>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<assistant>' }}{%- endif %}"
)
# No token of its own anywhere: roles are plain words.
PLAIN = (
    "{%- for m in messages %}{{- m.role + ': ' + m.content + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}"
)

IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Kind:
    """What a folder of the zoo holds."""

    template: str | None
    special: tuple[str, ...]
    added: tuple[str, ...] = ()
    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    unk: str | None = None
    adds_bos: bool = False
    sentencepiece: bool = False
    lowers: bool = False
    narrow: bool = False
    config: dict[str, Any] = field(default_factory=lambda: {"max_position_embeddings": 512})
    generation: dict[str, Any] | None = None
    max_length: int | None = None


KINDS = {
    "chatml": Kind(CHATML, IM, eos="<|im_end|>", pad="<|endoftext|>"),
    "llama": Kind(
        LLAMA,
        ("<|begin|>", "<|text_end|>", "<|start|>", "<|end|>", "<|eot|>", "<|eom|>"),
        bos="<|begin|>",
        eos="<|text_end|>",
        adds_bos=True,
        generation={"eos_token_id": [1, 5]},
    ),
    "mistral": Kind(
        MISTRAL, ("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", pad="<unk>", adds_bos=True, sentencepiece=True
    ),
    "gemma": Kind(
        GEMMA,
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        adds_bos=True,
        config={"text_config": {"max_position_embeddings": 512, "eos_token_id": 1}, "eos_token_id": [1, 4]},
    ),
    "thinking": Kind(THINKING, IM, added=("<think>", "</think>"), eos="<|im_end|>", pad="<|endoftext|>"),
    "bracketed": Kind(CHATML, (*IM, "[THINK]", "[/THINK]"), eos="<|im_end|>"),
    "channels": Kind(CHANNELS, ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"), eos="<|return|>"),
    "plain": Kind(PLAIN, ("<|endoftext|>",), eos="<|endoftext|>", config={}, max_length=400),
    "dated": Kind(DATED, IM, eos="<|im_end|>"),
    "clock": Kind(CLOCK, IM, eos="<|im_end|>"),
    "bare": Kind(None, IM, eos="<|im_end|>"),
    "endless": Kind(CHATML, IM, eos="<|im_end|>", config={}),
    "cut": Kind(CHATML, IM, eos="<|im_end|>", config={"vocab_size": 270}),
    "marks": Kind(MARKS, ("<eos>",), added=("<user>", "<assistant>", "<end>", "user"), eos="<eos>"),
    "narrow": Kind(CHATML, ("<unk>", *IM), eos="<|im_end|>", unk="<unk>", narrow=True),
    "upper": Kind(CHATML, (*IM, "<|stop|>"), eos="<|im_end|>", lowers=True),
}
WORKING = ("chatml", "llama", "mistral", "gemma", "thinking", "plain")


def build(kind: Kind, folder: Path) -> Path:
    """Write a model folder without weights: tokenizer files, config.json and perhaps generation_config.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    if kind.sentencepiece:
        pieces = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", *map(chr, range(33, 127)), "▁t", "▁a", "he", "▁the"]
        merges = [("▁", "t"), ("▁", "a"), ("h", "e"), ("▁t", "he")]
    else:
        pieces = [char for _, char in sorted(bytes_to_unicode().items())] + ["".join(pair) for pair in MERGES]
        merges = list(MERGES)
    if kind.narrow:  # ASCII only, and nothing to fall back on
        pieces, merges = [piece for piece in pieces if piece.isascii() or piece in "ĠĊ"], []
    vocab = {token: index for index, token in enumerate([*kind.special, *kind.added, *pieces])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=kind.sentencepiece, unk_token=kind.unk))
    if kind.sentencepiece:
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        core.decoder = decoders.Sequence([
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
        ])  # fmt: skip
    else:
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
    if kind.lowers:
        core.normalizer = normalizers.Lowercase()
    core.add_special_tokens([AddedToken(token, special=True, normalized=kind.lowers) for token in kind.special])
    core.add_tokens([AddedToken(token, special=False, normalized=False) for token in kind.added])
    if kind.adds_bos and kind.bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{kind.bos} $A", special_tokens=[(kind.bos, vocab[kind.bos])]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core,
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name in ("bos", "eos", "pad", "unk") if (token := getattr(kind, name))},
        **({} if kind.max_length is None else {"model_max_length": kind.max_length}),
    )
    if kind.template is not None:
        fast.chat_template = kind.template
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    config = {"model_type": "llama", "vocab_size": len(vocab), **kind.config}
    (folder / "config.json").write_text(json.dumps(config))
    if kind.generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(kind.generation))
    return folder
