"""A policy behind HTTP, against a server in this process: what is sent, what comes back, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving import Answer, Server, said
from unswayed.core.errors import ConfigError, Interrupted
from unswayed.core.types import Message, Sample, SamplingParams
from unswayed.engine.named import load_policy
from unswayed.engine.remote.endpoint import EndpointPolicy, endpoint_policy
from unswayed.evals.results import Result
from unswayed.evals.run import evaluate
from unswayed.evals.scoring.scorers import score_open
from unswayed.evals.suite import Suite

ASK = tuple((Message("system", "Be brief."), Message("user", f"q {i}")) for i in range(3))


def fine(body: dict[str, Any], number: int) -> Answer:
    text = f"reply to {body['messages'][-1]['content']} ({body['seed']})"
    return said(text, usage=None) if number < 0 else _used(said(text))


def _used(answer: Answer) -> Answer:
    body = {**json.loads(answer[1]), "usage": {"prompt_tokens": 11, "completion_tokens": 7}}
    return answer[0], json.dumps(body), answer[2]


def policy(server: Server, **given: Any) -> EndpointPolicy:
    return EndpointPolicy("m-1", server.url, **{"timeout": 5.0, "sleep": lambda _: None, **given})


def suite(n: int = 4) -> Suite:
    samples = tuple(
        Sample(f"s{i}", (Message("user", f"question {i}"),), f"s{i}", "plain", ("forty",)) for i in range(n)
    )
    return Suite("test/open", 1, samples, ("accuracy",), score=score_open)


def test_a_request_holds_the_sampling_parameters_and_replies_come_back_in_order(serve: Any) -> None:
    server = serve(fine)
    drawn = policy(server).complete(ASK, SamplingParams(temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=9, n=2))
    assert [one.text.split(" (")[0] for one in drawn] == [f"reply to q {i}" for i in (0, 0, 1, 1, 2, 2)]
    assert {(one.finish, one.tokens, one.prompt_tokens) for one in drawn} == {("stop", 7, 11)}
    path, body, _ = server.asked[0]
    assert path == "/v1/chat/completions"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [body[name] for name in ("model", "temperature", "top_p", "top_k", "max_tokens")] == ["m-1", 0.7, 0.9, 5, 9]
    policy(server).complete(ASK[:1], SamplingParams())
    assert "top_k" not in server.asked[-1][1]  # OpenAI's own interface has no such field


def test_a_draw_is_addressed_by_seed_prompt_and_number_alone(serve: Any) -> None:
    server = serve(fine)
    params = SamplingParams(n=2, seed=3)
    together, alone = policy(server).complete(ASK, params), policy(server).complete(ASK[1:2], params)
    assert [one.text for one in together[2:4]] == [one.text for one in alone]
    assert len({one.text for one in together}) == 6
    other = policy(server).complete(ASK, SamplingParams(n=2, seed=4))
    assert not {one.text for one in other} & {one.text for one in together}
    assert all(0 <= body["seed"] < 2**31 for _, body, _ in server.asked)


@pytest.mark.parametrize(
    ("answer", "finish", "reason"),
    [
        (said("Paris"), "stop", ""),
        (said("Par", finish_reason="length"), "length", ""),
        (said(None, finish_reason="length"), "length", ""),  # the limit came inside thinking that the server splits off
        (said("", finish_reason="content_filter"), "failed", "declined by the endpoint"),
        ((400, '{"error": {"code": "content_filter"}}', {}), "failed", "declined by the endpoint"),
        (said(None, finish_reason="tool_calls"), "failed", "finish_reason is 'tool_calls'"),
        (said(None, finish_reason=None), "failed", "finish_reason is 'None'"),
        (said([1]), "failed", "holds no text"),  # type: ignore[arg-type]
        ((200, "[" * 100_000, {}), "failed", "no chat completion"),
        ((400, "prompt too long", {}), "failed", "HTTP 400: prompt too long"),
    ],
)
def test_what_could_not_be_drawn_has_a_reason_and_no_text(serve: Any, answer: Answer, finish: str, reason: str) -> None:
    (one,) = policy(serve(lambda body, number: answer), attempts=2).complete(ASK[:1], SamplingParams())
    assert one.finish == finish
    assert reason in one.reason
    assert bool(one.reason) == (finish == "failed")
    assert one.text == ("" if finish == "failed" else json.loads(answer[1])["choices"][0]["message"]["content"] or "")


def test_a_failed_completion_is_unscored_in_every_metric_and_drawn_again(serve: Any, tmp_path: Path) -> None:
    broken = {"question 1", "question 2"}

    def sometimes(body: dict[str, Any], number: int) -> Answer:
        asked = body["messages"][0]["content"]
        if asked in broken:
            return (500, "oops", {}) if asked == "question 1" else said("", finish_reason="content_filter")
        return said("The answer is forty.")

    server = serve(sometimes)
    result = evaluate(policy(server, attempts=1), suite(), tmp_path / "e")
    for name in result.metrics:
        assert (result.estimates[name].n, result.estimates[name].unscored) == (2, 2), name
    assert result.estimates["accuracy"].value == 1.0
    assert (result.estimates["accuracy"].least, result.estimates["accuracy"].most) == (0.5, 1.0)
    assert result.summary()["finish"] == {"failed": 2, "stop": 2}
    assert not result.degenerate
    before = (tmp_path / "e" / "records.jsonl").read_text().splitlines()

    broken.remove("question 1")
    server.asked.clear()
    again = evaluate(policy(server, attempts=1), suite(), tmp_path / "e")
    assert [body["messages"][0]["content"] for _, body, _ in server.asked] == ["question 1"]
    assert again.estimates["accuracy"].n == 3
    after = (tmp_path / "e" / "records.jsonl").read_text().splitlines()
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False, True, True]
    assert Result.load(tmp_path / "e").estimates == again.estimates


def test_an_outage_stops_the_evaluation_and_the_same_call_goes_on(serve: Any, tmp_path: Path) -> None:
    up = True

    def answer(body: dict[str, Any], number: int) -> Answer:
        nonlocal up
        up = up and number <= 4
        return said("forty") if up else (503, "down", {})

    server = serve(answer)
    with pytest.raises(Interrupted, match="counts as down"):
        evaluate(policy(server, attempts=1, concurrency=1), suite(12), tmp_path / "e", batch_size=4)
    assert len((tmp_path / "e" / "records.jsonl").read_text().splitlines()) == 4
    server.answer = lambda body, number: said("forty")
    server.asked.clear()
    result = evaluate(policy(server), suite(12), tmp_path / "e", batch_size=4)
    assert len(server.asked) == 8
    assert result.estimates["accuracy"].n == 12


def test_names(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(fine)
    monkeypatch.setenv("UNSWAYED_ENDPOINT_KEY", "sk-secret")
    named = load_policy(f"endpoint:{server.url}#org/m", endpoint_params={"chat_template_kwargs": {"a": 1}})
    named.complete(ASK[:1], SamplingParams())
    _, body, headers = server.asked[0]
    assert (body["model"], body["chat_template_kwargs"]) == ("org/m", {"a": 1})
    assert headers["Authorization"] == "Bearer sk-secret"
    assert named.name == f"endpoint:{server.url}#org/m"
    assert "sk-secret" not in named.name + named.identity
    assert named.identity != load_policy(f"endpoint:{server.url}#org/m").identity
    for wrong in ("endpoint:", "endpoint:http://x/v1", "endpoint:#m", "endpoint:ftp://x/v1#m", "endpoint:http://[x#m"):
        with pytest.raises(ConfigError):
            load_policy(wrong)
    with pytest.raises(ConfigError, match="dtype cannot be set for an endpoint"):
        load_policy(f"endpoint:{server.url}#m", dtype="float32")
    with pytest.raises(ConfigError, match="adapter cannot be set"):
        load_policy(f"endpoint:{server.url}#m", "adapters/a")
    monkeypatch.setenv("UNSWAYED_ENDPOINT_KEY", "k")
    with pytest.raises(ConfigError, match="not sent over http"):
        endpoint_policy("endpoint:http://cluster.invalid/v1#m")


def test_suites_that_choose_by_likelihood_are_refused_by_name(serve: Any) -> None:
    chosen = Suite("test/choose", 1, suite().samples, ("accuracy",), method="choose")
    with pytest.raises(ConfigError, match="gives no log-likelihoods"):
        evaluate(policy(serve(fine)), chosen)
