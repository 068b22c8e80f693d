"""Messages to ids and back, over every family of chat template."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from unswayed.chat.render import Chat
from unswayed.chat.spans import thinking_mask
from unswayed.core.errors import ConfigError, DataError
from unswayed.core.types import Message
from unswayed.readers.text import visible_reply

if TYPE_CHECKING:
    from unswayed.models import ModelSource

ChatOf = Callable[..., Chat]
USER = Message("user", "is the sky on the ground?")
SYSTEM = Message("system", "answer in one word")
ANSWER = Message("assistant", "no")

EXPECTED = {
    "chatml": "<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\nis the sky on the ground?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "llama": "<|begin|><|start|>user<|end|>\n\nis the sky on the ground?<|eot|><|start|>assistant<|end|>\n\n",
    "mistral": "<s>[INST] is the sky on the ground? [/INST]",
    "gemma": "<bos><start_of_turn>user\nis the sky on the ground?<end_of_turn>\n<start_of_turn>model\n",
    "thinking": "<|im_start|>user\nis the sky on the ground?<|im_end|>\n<|im_start|>assistant\n",
    "plain": "user: is the sky on the ground?\nassistant:",
}


def prompts(name: str) -> list[tuple[Message, ...]]:
    """Return prompts that a kind's template accepts, prefills included."""
    found: list[tuple[Message, ...]] = [(USER,), (USER, ANSWER, USER), (USER, Message("assistant", "I say: the"))]
    return found if name == "mistral" else [*found, (SYSTEM, USER)]


def encode(chat: Chat, text: str) -> tuple[int, ...]:
    """Encode without adding anything, by the tokenizer file itself rather than by the code under test."""
    core = Tokenizer.from_file(str(chat.path / "tokenizer.json"))
    return tuple(core.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("name", zoo.WORKING)
def test_the_prompt_is_what_the_template_writes_generation_prompt_included(name: str, chat_of: ChatOf) -> None:
    assert chat_of(name).render_text((USER,)) == EXPECTED[name]


@pytest.mark.parametrize("name", zoo.WORKING)
def test_ids_are_the_rendered_text_with_nothing_added(name: str, chat_of: ChatOf) -> None:
    chat = chat_of(name)
    for messages in prompts(name):
        ids = chat.render(messages)
        assert ids == encode(chat, chat.render_text(messages))
        assert all(type(id_) is int for id_ in ids)


@settings(deadline=None, max_examples=50)
@given(
    contents=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=4)
)
def test_any_chat_is_encoded_as_it_is_written(contents: list[str], working: list[Chat]) -> None:
    roles = ("user", "assistant", "user", "assistant")
    messages = [Message(role, text) for role, text in zip(roles, contents, strict=False)]  # type: ignore[arg-type]
    for chat in working:
        assert chat.render(messages) == encode(chat, chat.render_text(messages))


@pytest.fixture(scope="module")
def working(chat_of: ChatOf) -> list[Chat]:
    return [chat_of(name) for name in zoo.WORKING]


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma"])
def test_a_template_that_writes_the_bos_gets_exactly_one(name: str, chat_of: ChatOf) -> None:
    chat = chat_of(name)
    assert chat.tokenizer("x")["input_ids"][0] == chat.bos_id  # the tokenizer would add one by itself
    for messages in prompts(name):
        ids = chat.render(messages)
        assert ids[0] == chat.bos_id
        assert ids.count(chat.bos_id) == 1


@pytest.mark.parametrize("name", zoo.WORKING)
def test_a_last_assistant_message_is_a_prefill(name: str, chat_of: ChatOf) -> None:
    chat = chat_of(name)
    opened = chat.render_text((USER, Message("assistant", "I say: the")))
    assert opened.endswith("I say: the")
    assert opened.startswith(chat.render_text((USER,)))
    # In the middle of a chat the same message is closed.
    assert not chat.render_text((USER, Message("assistant", "I say: the"), USER)).startswith(opened + USER.content)


@pytest.mark.parametrize("name", zoo.WORKING)
def test_decode_gives_back_an_encoded_completion_without_its_stop_token(name: str, chat_of: ChatOf) -> None:
    chat = chat_of(name)
    ids = chat.encode_completion((USER,), "yes, the 世界 is\nthere")
    assert ids[-1] == chat.turn_end_id
    assert ids.count(ids[-1]) == 1
    assert chat.decode(ids).strip() == "yes, the 世界 is\nthere"
    assert chat.decode(ids[:-1]) == chat.decode(ids)


def test_a_given_completion_stands_where_the_template_writes_answers(chat_of: ChatOf) -> None:
    for name in zoo.WORKING:
        chat = chat_of(name)
        prompt, written = chat.render((USER,)), encode(chat, chat.render_text((USER, ANSWER), generation_prompt=False))
        joined = (*prompt, *chat.encode_completion((USER,), "no"))
        if name == "plain":  # the template ends an answer with a line feed only
            assert joined == (*written, chat.turn_end_id)
        elif name == "llama":  # this tokenizer cuts the line feeds otherwise where a word follows: the prompt wins
            assert written[: len(prompt)] != prompt
            assert joined == (*prompt, *encode(chat, "no"), chat.turn_end_id)
        else:  # the template may write a line feed after the turn's end; the answer ends before it
            assert joined == written[: len(joined)]
            assert len(written) - len(joined) <= 1


def test_a_given_completion_continues_a_prefill(chat_of: ChatOf) -> None:
    for name in zoo.WORKING:
        chat = chat_of(name)
        opened = (USER, Message("assistant", "I say:"))
        assert chat.decode(chat.encode_completion(opened, " no")).strip() == "no"
        empty = (USER, Message("assistant", ""))
        assert chat.decode(chat.encode_completion(empty, "no")).strip() == "no"


def test_a_given_completion_follows_an_opening_that_answers_do_not_have(chat_of: ChatOf) -> None:
    chat = chat_of("thinking", template_kwargs={"enable_thinking": False})
    assert chat.render_text((USER,)).endswith("<think>\n\n</think>\n\n")
    assert chat.encode_completion((USER,), "no") == (*encode(chat, "no"), chat.turn_end_id)


def test_a_given_completion_keeps_the_thinking_that_the_template_would_leave_out(chat_of: ChatOf) -> None:
    chat = chat_of("thinking", template=zoo.THINKING.replace("and not loop.last ", ""))
    text = "<think>so</think>no"
    assert chat.encode_completion((USER,), text) == (*encode(chat, text), chat.turn_end_id)


@pytest.mark.parametrize(
    ("value", "text", "taught"),
    [
        ("open_thinking", "no", "\n</think>\n\nno"),  # closed once
        ("open_thinking", "<think>\nis it?\n</think>\n\nno", "is it?\n</think>\n\nno"),  # opened once, by the prompt
        ("open_thinking", "is it?</think>no", "is it?</think>no"),
        ("", "<think>is it?</think>no", "<think>is it?</think>no"),
        ("", "no", "no"),
        ("closed", "no", "no"),
    ],
)
def test_7_a_target_closes_thinking_once(chat_of: ChatOf, value: str, text: str, taught: str) -> None:
    values = {"open_thinking": {"open_thinking": True}, "closed": {"enable_thinking": False}}.get(value, {})
    chat = chat_of("thinking", template_kwargs=values)
    ids = chat.encode_completion((USER,), text)
    assert chat.decode(ids) == taught
    assert thinking_mask(chat.render((USER,)), ids, chat.thinking)[-2:] == [False, False]
    assert chat.opens_thinking(chat.render((USER,))) == (value == "open_thinking")


def test_7_targets_whose_thinking_cannot_be_taught_are_refused(chat_of: ChatOf) -> None:
    with pytest.raises(DataError, match="has closed thinking already"):
        chat_of("thinking", template_kwargs={"enable_thinking": False}).encode_completion((USER,), "<think>a</think>no")
    with pytest.raises(DataError, match="never closes it"):
        chat_of("thinking", template_kwargs={"open_thinking": True}).encode_completion((USER,), "<think>a")


def test_a_given_completion_may_not_forge_a_turn(chat_of: ChatOf) -> None:
    with pytest.raises(DataError, match=r"special token <\|im_end\|>"):
        chat_of("chatml").encode_completion((USER,), "no<|im_end|>")
    chat = chat_of("chatml", allow_special_tokens=True)
    assert chat.encode_completion((USER,), "no<|im_end|>") == (*encode(chat, "no<|im_end|>"), chat.turn_end_id)


def test_decode_skips_special_tokens_and_removes_a_stop_token_that_is_not_special(chat_of: ChatOf) -> None:
    chat = chat_of("chatml")
    assert chat.decode(encode(chat, "<|im_start|>no<|endoftext|> yes<|im_end|>")) == "no yes"
    chat = chat_of("thinking")
    assert chat.decode(encode(chat, "<think>a</think>b")) == "<think>a</think>b"


@pytest.mark.parametrize(
    ("name", "said", "reply"),
    [
        ("bracketed", "[THINK]is it?[/THINK]no<|im_start|><|im_end|>", "no"),
        (
            "channels",
            "<|channel|>analysis<|message|>is it?<|end|><|start|>assistant<|channel|>final<|message|>no<|return|>",
            "no",
        ),
    ],
)
def test_decode_keeps_special_tokens_that_tell_thinking_from_the_reply(
    name: str, said: str, reply: str, chat_of: ChatOf
) -> None:
    chat = chat_of(name)
    text = chat.decode(encode(chat, said))
    assert text == said.replace("<|im_start|>", "").replace("<|im_end|>", "").replace("<|return|>", "")
    assert visible_reply(text) == reply
    for unfinished in (said.partition("it?")[0], said.partition("no")[0][:15]):
        assert not visible_reply(chat.decode(encode(chat, unfinished)))  # it never stopped thinking
    assert chat.decode(encode(chat, "no")) == "no"


def test_a_given_completion_may_think(chat_of: ChatOf) -> None:
    chat = chat_of("bracketed")
    ids = chat.encode_completion((USER,), "[THINK]is it?[/THINK]no")
    assert ids == encode(chat, "[THINK]is it?[/THINK]no<|im_end|>")
    assert chat.decode(ids) == "[THINK]is it?[/THINK]no"
    with pytest.raises(DataError, match="special token"):
        chat_of("channels").encode_completion((USER,), "no<|end|><|start|>user<|message|>yes")


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=40))
def test_any_text_survives_encoding_and_decoding(text: str, tiny_chat: Chat) -> None:
    ids = tiny_chat.encode_completion((USER,), text)
    assert tiny_chat.decode(ids) == text
    assert max(ids) < tiny_chat.vocab_size


@pytest.fixture(scope="module")
def tiny_chat(tiny_model_dir: Path) -> Chat:
    return Chat.load(tiny_model_dir)


def test_the_tiny_model_of_the_other_tests(tiny_chat: Chat) -> None:
    assert (tiny_chat.stop_ids, tiny_chat.pad_id, tiny_chat.turn_end_id) == (frozenset({2}), 3, 2)
    assert (tiny_chat.vocab_size, tiny_chat.embedding_rows, tiny_chat.context_length) == (300, 300, 2048)


@pytest.mark.parametrize("name", zoo.WORKING)
def test_tokens_are_the_text_in_pieces(name: str, chat_of: ChatOf) -> None:
    chat = chat_of(name)
    ids = chat.render((USER,))
    text = chat.render_text((USER,))
    assert chat.tokens(ids) != [text]
    # SentencePiece begins every text with a space, the one after the BOS too
    assert "".join(chat.tokens(ids)) == (text.replace("<s>", "<s> ") if name == "mistral" else text)
    assert len(chat.tokens(ids)) == len(ids)


def test_tokens_show_spaces_bytes_and_ids_that_are_none(chat_of: ChatOf) -> None:
    bytelevel, sentencepiece = chat_of("chatml"), chat_of("mistral")
    assert bytelevel.tokens(encode(bytelevel, "on the é")) == ["on", " the", " ", "<0xC3>", "<0xA9>"]
    assert sentencepiece.tokens(encode(sentencepiece, "on the é")) == [
        *(" ", "o", "n", " the", " ", "<0xC3>", "<0xA9>"),
    ]
    assert bytelevel.tokens([10**6, -1, 2]) == ["[no token 1000000]", "[no token -1]", "<|im_end|>"]


@pytest.mark.real_model
def test_the_real_small_model(smollm2: ModelSource) -> None:
    chat = Chat.load(smollm2.path)
    assert chat.render_text((USER,)) == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nis the sky on the ground?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chat.render((USER,))[-6:] == (2, 198, 1, 520, 9531, 198)
    assert (chat.stop_ids, chat.turn_end_id) == (frozenset({2}), 2)
    assert (chat.vocab_size, chat.embedding_rows, chat.context_length) == (49152, 49152, 8192)
    assert chat.decode(chat.encode_completion((USER,), "No, 世界.")) == "No, 世界."
    assert chat.oddities == ()


# What the files say


def test_stop_ids_are_every_end_that_any_file_or_the_template_names(chat_of: ChatOf) -> None:
    assert chat_of("chatml").stop_ids == {2}
    assert chat_of("llama").stop_ids == {1, 4, 5}  # the tokenizer's EOS, the template's end, generation_config.json
    assert chat_of("gemma").stop_ids == {1, 4}  # config.json
    assert chat_of("plain").stop_ids == {0}
    assert {name: chat_of(name).turn_end_id for name in zoo.WORKING} == {
        "chatml": 2, "llama": 4, "mistral": 2, "gemma": 4, "thinking": 2, "plain": 0,
    }  # fmt: skip


def test_the_turn_ends_with_a_special_token_where_there_is_one(chat_of: ChatOf) -> None:
    marked = zoo.THINKING.replace("text + '<|im_end|>", "text + '</think><|im_end|>")
    assert chat_of("thinking", template=marked).turn_end_id == 2
    only = zoo.THINKING.replace("text + '<|im_end|>", "text + '</think>")
    assert chat_of("thinking", template=only).turn_end_id == 4


def test_the_templates_turn_end_is_found_without_any_config(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes((folder_of("llama") / name).read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    chat = Chat.load(tmp_path)
    assert (chat.stop_ids, chat.context_length, chat.embedding_rows) == (frozenset({1, 4}), None, None)


def test_pad_id_zero_is_an_id(chat_of: ChatOf) -> None:
    assert chat_of("chatml").pad_id == 0
    assert chat_of("gemma").pad_id == 0
    assert chat_of("llama").pad_id == 1  # it has none: a stop token fills


def test_context_length_comes_from_the_config_its_text_part_or_the_tokenizer(chat_of: ChatOf) -> None:
    assert chat_of("chatml").context_length == 512
    assert chat_of("gemma").context_length == 512
    assert chat_of("plain").context_length == 400


def test_a_template_without_turn_ends_is_reported(chat_of: ChatOf) -> None:
    assert any("after an assistant's message" in oddity for oddity in chat_of("plain").oddities)
    assert chat_of("chatml").oddities == ()


def test_a_template_that_forgets_the_bos_is_reported(chat_of: ChatOf) -> None:
    without = zoo.LLAMA.replace("{{- bos_token }}", "")
    assert any("<|begin|>" in oddity for oddity in chat_of("llama", template=without).oddities)
    assert chat_of("llama").oddities == ()


def test_vocab_size_counts_to_the_largest_id_where_ids_have_gaps(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    source = folder_of("chatml")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    core = json.loads((tmp_path / "tokenizer.json").read_text())
    core["model"]["vocab"] = {token: id_ + 7 * (id_ > 280) for token, id_ in core["model"]["vocab"].items()}
    (tmp_path / "tokenizer.json").write_text(json.dumps(core))
    assert Chat.load(tmp_path).vocab_size == Chat.load(source).vocab_size + 7
    assert Chat.load(tmp_path).tokens([283]) == ["[no token 283]"]


def test_truncation_and_padding_written_into_the_tokenizer_file_change_nothing(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for file in folder_of("chatml").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    core = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    core.enable_truncation(8)
    core.enable_padding(length=64)
    core.save(str(tmp_path / "tokenizer.json"))
    long = (Message("user", "the " * 300),)
    assert Chat.load(tmp_path).render(long) == Chat.load(folder_of("chatml")).render(long)
    assert len(Chat.load(tmp_path).render(long)) > 300
    assert Chat.load(tmp_path).render((USER,))[-1] == Chat.load(folder_of("chatml")).render((USER,))[-1]


def test_identity_changes_with_files_template_and_values(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    source = folder_of("thinking")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    same = Chat.load(tmp_path).identity
    assert same == Chat.load(source).identity
    assert Chat.load(source, template_kwargs={"enable_thinking": True}).identity != same
    assert Chat.load(source, template=zoo.CHATML).identity != same
    settings_file = tmp_path / "tokenizer_config.json"
    settings_file.write_text(settings_file.read_text().replace("}", ', "note": 1}', 1))
    assert Chat.load(tmp_path).identity != same


# What is refused


def test_no_folder_no_tokenizer_no_template(chat_of: ChatOf, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such model folder"):
        Chat.load(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="cannot load a tokenizer"):
        Chat.load(tmp_path)
    with pytest.raises(ConfigError, match=r"no chat template.*chat_template\.jinja"):
        chat_of("bare")
    assert chat_of("bare", template=zoo.CHATML).render_text((USER,)) == EXPECTED["chatml"]


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: text.replace('"BPE"', '"XYZ"')])
def test_a_damaged_tokenizer_is_a_config_error(
    folder_of: Callable[[str], Path], tmp_path: Path, damage: Callable[[str], str]
) -> None:
    for file in folder_of("chatml").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    core = tmp_path / "tokenizer.json"
    core.write_text(damage(core.read_text()))
    with pytest.raises(ConfigError, match="cannot load a tokenizer"):
        Chat.load(tmp_path)


def test_code_in_the_folder_does_not_run(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    model, trace = tmp_path / "model", tmp_path / "it-ran"
    model.mkdir()
    for file in folder_of("chatml").iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    (model / "tokenization_x.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n"
        f"open({str(trace)!r}, 'w').close()\n"
        "class X(PreTrainedTokenizerFast): pass\n"
    )
    settings_file = model / "tokenizer_config.json"
    asked = {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["tokenization_x.X", "tokenization_x.X"]}}
    settings_file.write_text(json.dumps(json.loads(settings_file.read_text()) | asked))
    (model / "config.json").write_text(json.dumps({"model_type": "made-up", "auto_map": asked["auto_map"]}))
    with pytest.raises(ConfigError, match="cannot load a tokenizer"):
        Chat.load(model)
    assert not trace.exists()


def test_a_broken_config_is_named(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    for file in folder_of("chatml").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": ')
    with pytest.raises(ConfigError, match=r"generation_config\.json: cannot be read as JSON"):
        Chat.load(tmp_path)


def test_a_template_with_an_error_in_it_is_a_config_error(chat_of: ChatOf) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        chat_of("chatml", template="{% for m in messages %}")
    with pytest.raises(ConfigError, match="cannot be used"):
        chat_of("chatml", template="{{ messages[0].content + nothing.at.all }}")


def test_a_template_cannot_reach_python(chat_of: ChatOf) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        chat_of("chatml", template="{{ messages.__class__.__mro__ }}{{ ''.__class__.__base__.__subclasses__() }}")


def test_roles_that_the_template_refuses_are_named(chat_of: ChatOf) -> None:
    with pytest.raises(DataError, match=r"refuses the roles system, user: Conversation roles must alternate"):
        chat_of("mistral").render((SYSTEM, USER))
    with pytest.raises(DataError, match="no message"):
        chat_of("chatml").render(())


def test_a_misspelt_template_value_is_refused(chat_of: ChatOf) -> None:
    with pytest.raises(ConfigError, match="enable_thinkin has no effect"):
        chat_of("thinking", template_kwargs={"enable_thinkin": False})
    with pytest.raises(ConfigError, match="enable_thinking has no effect"):
        chat_of("chatml", template_kwargs={"enable_thinking": False})
    with pytest.raises(ConfigError, match="add_generation_prompt cannot be set"):
        chat_of("chatml", template_kwargs={"add_generation_prompt": False})
    with pytest.raises(ConfigError, match="only text, numbers"):
        chat_of("thinking", template_kwargs={"enable_thinking": float("nan")})


def test_thinking_mode_goes_through_template_kwargs(chat_of: ChatOf) -> None:
    off = chat_of("thinking", template_kwargs={"enable_thinking": False})
    assert off.render_text((USER,)) == EXPECTED["thinking"] + "<think>\n\n</think>\n\n"
    assert chat_of("thinking", template_kwargs={"enable_thinking": True}).render_text((USER,)) == EXPECTED["thinking"]


# The clock


@pytest.mark.parametrize("name", ["dated", "clock"])
def test_a_template_that_writes_todays_date_needs_a_fixed_one(name: str, chat_of: ChatOf) -> None:
    with pytest.raises(ConfigError, match="date_string"):
        chat_of(name)


def test_a_date_that_the_template_reads_goes_there_as_it_is(chat_of: ChatOf) -> None:
    chat = chat_of("dated", template_kwargs={"date_string": "the first day"})
    assert "Today is the first day<|im_end|>" in chat.render_text((USER,))


@pytest.mark.parametrize("given_date", ["2024-07-26", date(2024, 7, 26)])
def test_a_date_stands_in_for_the_clock_in_every_format_asked_for(chat_of: ChatOf, given_date: str | date) -> None:
    chat = chat_of("clock", template_kwargs={"date_string": given_date})
    assert chat.render_text((USER,)) == (
        "<|im_start|>system\nToday is 2024-07-26, a Friday<|im_end|>\n" + EXPECTED["chatml"]
    )


def test_the_stopped_clock_leaves_the_rest_of_the_template_as_it_was(chat_of: ChatOf) -> None:
    body = "\n  {% set x = strftime_now('%Y') %}\n  {{ x }} " + zoo.CHATML.replace("{%-", "{%").replace("{{-", "{{")
    chat = chat_of("chatml", template=body, template_kwargs={"date_string": "2024-07-26"})
    plain = chat_of("chatml", template=body.replace("strftime_now('%Y')", "'2024'"))
    assert chat.render_text((USER,)) == plain.render_text((USER,))
    assert chat.render_text((USER,)).startswith("\n")


def test_a_date_that_is_no_date_is_refused_where_the_clock_is_asked(chat_of: ChatOf) -> None:
    with pytest.raises(ConfigError, match="'yesterday' is no date"):  # not "no date was given" (fault 9)
        chat_of("clock", template_kwargs={"date_string": "yesterday"})
    computed = zoo.CLOCK.replace("'%Y-%m-%d'", "'%Y' + '-%m'")
    with pytest.raises(ConfigError, match="a format that it computes"):
        chat_of("chatml", template=computed, template_kwargs={"date_string": "2024-07-26"})


def test_a_clock_behind_a_system_message_is_found_too(chat_of: ChatOf) -> None:
    hidden = "{%- if messages[0].role == 'system' %}{{- strftime_now('%Y') }}{%- endif %}" + zoo.CHATML
    with pytest.raises(ConfigError, match="date_string"):
        chat_of("chatml", template=hidden)


def test_importing_chat_loads_no_torch_and_no_transformers() -> None:
    program = "import sys, unswayed.chat.render; print({'torch', 'transformers', 'jinja2'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_the_guide_runs(tiny_model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "chat.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    exec(block.replace("path/to/model", str(tiny_model_dir)), {})
    assert "<|im_start|>user\nIs the sky up?<|im_end|>\n<|im_start|>assistant\n" in capsys.readouterr().out
