"""Our model API in Inspect: what is drawn, what is reported, what is refused."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai import Epochs, Task, eval, eval_async, eval_set, task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.scorer import match
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolInfo

from unswayed.core.errors import ConfigError, UnswayedError
from unswayed.core.types import Message, SamplingParams
from unswayed.engine.policy import LoadedPolicy, load_policy
from unswayed.evals.inspect.batcher import Batcher
from unswayed.evals.inspect.naming import split_model_name, task_name
from unswayed.evals.inspect.provider import inspect_model, sampling_params

QUESTIONS = ["what is it?", "no", "you and the user, is it so?", "the system", "a", "in the end"]


@pytest.fixture(scope="module")
def policy(tiny_model_dir: Path) -> LoadedPolicy:
    return load_policy(str(tiny_model_dir), name="tiny", dtype="float32")  # bfloat16 rounds by batch


@pytest.fixture(scope="module")
def model(policy: LoadedPolicy) -> Model:
    return inspect_model(policy)


def ask(model: Model, *prompts: Any, **settings: Any) -> list[Any]:
    async def together() -> list[Any]:
        config = GenerateConfig(**settings)
        return await asyncio.gather(*(model.generate(prompt, config=config) for prompt in prompts))

    return asyncio.run(together())


def ours(policy: LoadedPolicy, prompt: str, **params: Any) -> list[Any]:
    return policy.complete([(Message("user", prompt),)], SamplingParams(**params))


# ---- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        ({"temperature": 0, "max_tokens": 7}, {"temperature": 0.0, "max_new_tokens": 7}),
        ({"max_tokens": 5}, {"max_new_tokens": 5}),
        ({"max_tokens": 9, "seed": 3}, {"max_new_tokens": 9, "seed": 3}),
        ({"max_tokens": 9, "temperature": 0.7, "top_p": 0.8}, {"max_new_tokens": 9, "temperature": 0.7, "top_p": 0.8}),
        ({"max_tokens": 9, "top_k": 3}, {"max_new_tokens": 9, "top_k": 3}),
        ({"max_tokens": 6, "num_choices": 4, "seed": 1}, {"max_new_tokens": 6, "n": 4, "seed": 1}),
    ],
)
def test_it_draws_what_the_policy_draws(
    policy: LoadedPolicy, model: Model, settings: dict[str, Any], params: dict[str, Any]
) -> None:
    for prompt, output in zip(QUESTIONS, ask(model, *QUESTIONS, **settings), strict=True):
        expected = ours(policy, prompt, **params)
        assert [choice.message.text for choice in output.choices] == [c.text for c in expected]
        reasons = {"length": "max_tokens", "stop": "stop"}
        assert [choice.stop_reason for choice in output.choices] == [reasons[c.finish] for c in expected]
        assert output.usage.input_tokens == expected[0].prompt_tokens
        assert output.usage.output_tokens == sum(c.tokens for c in expected)
        assert output.usage.total_tokens == output.usage.input_tokens + output.usage.output_tokens


def test_both_stop_reasons_occur(model: Model) -> None:
    reasons = {output.stop_reason for seed in range(8) for output in ask(model, *QUESTIONS, max_tokens=40, seed=seed)}
    assert reasons == {"max_tokens", "stop"}


def test_a_draw_does_not_depend_on_what_else_is_in_the_batch(policy: LoadedPolicy) -> None:
    together = inspect_model(policy, batch_size=6)
    alone = inspect_model(policy, batch_size=1)
    one = [output.completion for output in ask(together, *QUESTIONS, max_tokens=12)]
    other = [output.completion for output in ask(alone, *reversed(QUESTIONS), max_tokens=12)]
    assert one == other[::-1]
    assert len(set(one)) == len(QUESTIONS)


def test_system_and_assistant_messages_reach_the_template(policy: LoadedPolicy, model: Model) -> None:
    chat = [
        ChatMessageSystem(content="you use the system"),
        ChatMessageUser(content=[ContentText(text="is it"), ContentText(text="so?")]),
        ChatMessageAssistant(content="yes"),
        ChatMessageUser(content="no"),
    ]
    (output,) = ask(model, chat, max_tokens=6)
    sent = (
        Message("system", "you use the system"), Message("user", "is it\nso?"), Message("assistant", "yes"),
        Message("user", "no"),
    )  # fmt: skip
    assert output.completion == policy.complete([sent], SamplingParams(max_new_tokens=6))[0].text


def test_the_context_ends_a_completion_and_says_so(policy: LoadedPolicy, model: Model) -> None:
    assert policy.chat.context_length == 2048
    prompt = "a" * 2000
    used = len(policy.chat.render([Message("user", prompt)]))
    (output,) = ask(model, prompt, max_tokens=2048, temperature=0)
    if output.stop_reason != "stop":
        assert output.stop_reason == "model_length"
        assert output.usage.output_tokens == 2048 - used
    (full,) = ask(model, "a" * 2048, max_tokens=4)
    assert (full.stop_reason, full.completion, full.usage.output_tokens) == ("model_length", "", 0)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"stop_seqs": ["."]}, "stop_seqs"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 0.5, "best_of": 2}, "best_of, frequency_penalty"),
        ({"logit_bias": {3: 1.0}}, "logit_bias"),
        ({"batch": True}, "batch"),
        ({"reasoning_tokens": 100}, "reasoning_tokens"),
        ({"num_choices": 2, "temperature": 0}, "identical completions"),
        ({"top_p": 1.5}, "top_p = 1.5"),
        ({"temperature": -1}, "temperature = -1"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(model: Model, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ask(model, "no", **settings)


def test_settings_of_inspect_itself_pass(model: Model) -> None:
    quiet = {"logprobs": False, "frequency_penalty": 0.0, "stop_seqs": [], "max_retries": 3, "timeout": 60}
    assert ask(model, "no", max_tokens=3, **quiet)[0].completion == ask(model, "no", max_tokens=3)[0].completion
    assert sampling_params(GenerateConfig(), 99) == SamplingParams(max_new_tokens=99)


def test_tools_and_pictures_are_refused(model: Model) -> None:
    picture = [ChatMessageUser(content=[ContentImage(image="data:image/png;base64,aGk=")])]
    with pytest.raises(ConfigError, match="holds image"):
        ask(model, picture)
    with pytest.raises(ConfigError, match="'tool'"):
        ask(model, [ChatMessageUser(content="no"), ChatMessageTool(content="4", function="add")])
    with pytest.raises(ConfigError, match="takes no tools"):
        asyncio.run(model.generate("no", tools=[ToolInfo(name="add", description="adds")]))


def test_wrong_arguments_are_named(tiny_model_dir: Path, policy: LoadedPolicy) -> None:
    place = str(tiny_model_dir)
    for arguments, named in (
        ({"colour": 3}, "no argument colour"),
        ({"trust_remote_code": True}, "no argument trust_remote_code"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"base_url": "http://localhost"}, "no base_url"),
        ({"adapter": "/nowhere"}, "nowhere"),
        ({"policy": policy, "adapter": "/nowhere"}, "complete"),
    ):
        with pytest.raises(PrerequisiteError) as caught:
            get_model("unswayed/tiny", **{"model_path": None if "policy" in arguments else place, **arguments})
        assert named in str(caught.value.message)
        assert isinstance(caught.value.__cause__, ConfigError)


# ---- names ---------------------------------------------------------------------------------------------------------


def test_the_name_carries_the_digest_and_only_that_policy_answers_to_it(
    tiny_model_dir: Path, tiny_qwen_dir: Path, policy: LoadedPolicy, model: Model
) -> None:
    full = f"unswayed/tiny@{policy.identity[:12]}"
    assert str(model) == full
    loaded = get_model(full, model_path=str(tiny_model_dir), dtype="float32")
    assert str(loaded) == full
    assert ask(loaded, "no", max_tokens=5)[0].completion == ask(model, "no", max_tokens=5)[0].completion
    with pytest.raises(PrerequisiteError) as caught:
        get_model(full, model_path=str(tiny_qwen_dir))
    assert "was asked for" in str(caught.value.message)


def test_names_are_taken_apart_again() -> None:
    assert split_model_name("org/model@0123456789ab") == ("org/model", "0123456789ab")
    assert split_model_name("org/model@main") == ("org/model@main", "")
    assert task_name("capability/mmlu-5") == "capability_mmlu_5"


def test_a_policy_that_changed_is_not_passed_off_as_the_old_one(policy: LoadedPolicy) -> None:
    moving = LoadedPolicy(policy.model, policy.chat, "0" * 64, "moving")
    model = inspect_model(moving)
    ask(model, "no", max_tokens=2)
    moving.identity = "1" * 64
    with pytest.raises(UnswayedError, match="has changed since"):
        ask(model, "no", max_tokens=2)
    assert str(inspect_model(moving)) == "unswayed/moving@111111111111"


# ---- inside Inspect's own runs -------------------------------------------------------------------------------------


@solver
def asks_twice() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        first, second = [await get_model().generate(state.messages) for _ in range(2)]
        state.output = first
        state.metadata["drawn"] = [first.completion, second.completion]
        return state

    return solve


def questions(solver: Solver | None = None, **more: Any) -> Task:
    samples = [InspectSample(id=str(i), input=text, target="no") for i, text in enumerate(QUESTIONS)]
    config = GenerateConfig(max_tokens=8)
    given = {} if solver is None else {"solver": solver}
    return Task(dataset=MemoryDataset(samples), scorer=match(), config=config, **given, **more)


def run(task: Task, model: Model, folder: Path, **more: Any) -> Any:
    (log,) = eval(task, model=model, log_dir=str(folder), display="none", **more)
    assert log.status == "success", log.error
    return log


def test_epochs_are_the_policys_own_draws(policy: LoadedPolicy, model: Model, tmp_path: Path) -> None:
    log = run(questions(epochs=Epochs(3)), model, tmp_path)
    drawn = {(sample.id, sample.epoch): sample.output.completion for sample in log.samples}
    for index, prompt in enumerate(QUESTIONS):
        expected = [c.text for c in ours(policy, prompt, n=3, max_new_tokens=8)]
        assert [drawn[str(index), epoch] for epoch in (1, 2, 3)] == expected
    assert log.eval.model == str(model)
    assert log.eval.model_args == {}


def test_asking_again_in_one_sample_draws_again_and_the_same_each_run(
    policy: LoadedPolicy, model: Model, tmp_path: Path
) -> None:
    runs = [run(questions(asks_twice()), model, tmp_path / str(k)) for k in range(2)]
    pairs = [[sample.metadata["drawn"] for sample in log.samples] for log in runs]
    assert pairs[0] == pairs[1]
    assert [first for first, _ in pairs[0]] == [ours(policy, p, max_new_tokens=8)[0].text for p in QUESTIONS]
    assert sum(first != second for first, second in pairs[0]) >= len(QUESTIONS) - 1


def test_inside_a_running_loop(policy: LoadedPolicy, model: Model, tmp_path: Path) -> None:
    async def main() -> Any:
        return await eval_async(questions(), model=model, log_dir=str(tmp_path))

    (log,) = asyncio.run(main())
    assert log.status == "success"
    expected = [ours(policy, prompt, max_new_tokens=8)[0].text for prompt in QUESTIONS]
    assert [sample.output.completion for sample in log.samples] == expected


@task
def a_set() -> Task:
    return questions()


def test_an_eval_set_never_mixes_two_checkpoints(policy: LoadedPolicy, tiny_qwen_dir: Path, tmp_path: Path) -> None:
    other = load_policy(str(tiny_qwen_dir), name="tiny")  # the same name, as every step of a training has
    logs = []
    for each in (policy, other, policy):
        done, found = eval_set(
            a_set(), str(tmp_path), model=inspect_model(each), display="none", log_dir_allow_dirty=True
        )
        assert done
        logs.append(found[-1])
    assert logs[0].eval.model != logs[1].eval.model
    assert len(list(tmp_path.glob("*.eval"))) == 2  # the third run found the first one's log


# ---- the batcher ---------------------------------------------------------------------------------------------------


def test_batches_fill_and_run_in_one_thread() -> None:
    sizes: list[int] = []
    threads: set[int] = set()

    def double(batch: Sequence[int]) -> list[int]:
        sizes.append(len(batch))
        threads.add(threading.get_ident())
        time.sleep(0.05)
        return [2 * number for number in batch]

    batcher = Batcher(double, size=4, idle=0.2)
    answers = [batcher.submit(number) for number in range(10)]
    assert [answer.result(timeout=10) for answer in answers] == [2 * number for number in range(10)]
    assert sizes == [4, 4, 2]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_failed_batch_fails_its_own_requests_only() -> None:
    def careful(batch: Sequence[int]) -> list[int]:
        if 3 in batch:
            raise ValueError("three")
        return list(batch)

    batcher = Batcher(careful, size=2, idle=0.2)
    answers = [batcher.submit(number) for number in range(6)]
    outcome = [answer.exception(timeout=10) is None for answer in answers]
    assert outcome == [True, True, False, False, True, True]


def test_a_cancelled_request_is_not_run() -> None:
    seen: list[int] = []
    batcher: Batcher[int, int] = Batcher(lambda batch: [seen.append(n) or n for n in batch], size=3, idle=0.2)
    answers = [batcher.submit(number) for number in range(2)]
    assert answers[0].cancel()
    assert answers[1].result(timeout=10) == 1
    assert seen == [1]


def test_the_entry_point_loads_no_torch() -> None:
    program = (
        "import sys, json, unswayed.evals.inspect._registry as found; "
        "print(json.dumps(['torch' in sys.modules, sorted(found.tasks)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, names = json.loads(done.stdout.splitlines()[-1])
    assert not loaded
    assert {"sycophancy/suggested_answer", "sycophancy/are_you_sure"} <= set(names)
