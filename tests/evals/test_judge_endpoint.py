"""A judge behind HTTP, against a server in this process: answers, errors, limits, keys."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fake_judges import verdict_line

from serving import Answer, Server, said
from unswayed.core.errors import ConfigError
from unswayed.engine.remote import client
from unswayed.engine.remote.client import DOWN_AFTER, checked_url
from unswayed.judges.base import Item, Verdict
from unswayed.judges.build import build_judge
from unswayed.judges.endpoint import EndpointJudge
from unswayed.judges.rubrics import rubric

BY = rubric("refusal")
KEY = "sk-very-secret-1234567890"


def fine(body: dict[str, Any], number: int) -> Answer:
    prompt = body["messages"][0]["content"]
    return said(verdict_line(prompt, "kind=refusal" if "sorry" in prompt else "kind=compliance"))


def judge(server: Server, **given: Any) -> tuple[EndpointJudge, list[float]]:
    pauses: list[float] = []
    return EndpointJudge("judge-1", server.url, **{"timeout": 5.0, "sleep": pauses.append, **given}), pauses


def items(n: int) -> list[Item]:
    return [Item(f"q {i}", "I am sorry." if i % 2 else "Here it is.") for i in range(n)]


def ask(server: Server, n: int = 1, **given: Any) -> list[Verdict]:
    return judge(server, **given)[0].grade(BY, items(n))


def test_questions_go_out_and_verdicts_come_back_in_order(serve: Any) -> None:
    def slow(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.02 * (number % 3))
        return fine(body, number)

    server = serve(slow)
    asked, pauses = judge(server, key=KEY, concurrency=4, params={"temperature": 0, "max_tokens": 7})
    verdicts = asked.grade(BY, items(12))
    assert [verdict.score for verdict in verdicts] == [0.0, 1.0] * 6
    assert {verdict.status for verdict in verdicts} == {"ok"}
    assert len({verdict.prompt_sha256 for verdict in verdicts}) == 12
    assert all(verdict.latency > 0 and "VERDICT" in verdict.raw for verdict in verdicts)
    assert pauses == []
    assert 2 <= server.most <= 4
    path, body, headers = server.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert {name: body[name] for name in ("model", "temperature", "max_tokens")} == {
        "model": "judge-1", "temperature": 0, "max_tokens": 7,
    }  # fmt: skip


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_passing_errors_are_tried_again_with_growing_pauses(serve: Any, code: int) -> None:
    server = serve(lambda body, number: fine(body, number) if number > 3 else (code, "busy", {}))
    asked, pauses = judge(server)
    (verdict,) = asked.grade(BY, items(1))
    assert verdict.status == "ok"
    assert len(pauses) == 3
    for pause, base in zip(pauses, (1, 2, 4), strict=True):
        assert base <= pause <= 1.5 * base


def test_a_server_says_how_long_to_wait_but_not_for_ever(serve: Any) -> None:
    waits = {1: "9", 2: "999999", 3: "Wed, 21 Oct 2026 07:28:00 GMT", 4: "nan"}
    server = serve(lambda body, number: (429, "", {"Retry-After": waits[number]}) if number < 5 else fine(body, number))
    asked, pauses = judge(server)
    assert asked.grade(BY, items(1))[0].status == "ok"
    assert [int(pause) // 9 > 0 for pause in pauses] == [True, True, False, True]
    assert max(pauses) <= 45


@pytest.mark.parametrize(
    ("answer", "status", "reason", "attempts"),
    [
        ((429, "slow down", {}), "error", "HTTP 429: slow down", 3),
        ((500, "<html>\x1b[31moops</html>", {}), "error", "HTTP 500: <html>\\x1b[31moops</html>", 3),
        ((400, '{"error": "too long"}', {}), "error", "HTTP 400", 1),
        ((302, "", {"Location": "http://elsewhere.invalid/"}), "error", "HTTP 302", 1),
        ((400, '{"error": {"code": "content_filter"}}', {}), "refused", "would not pass the request on", 1),
        ((200, "<html>login</html>", {}), "error", "no chat completion", 3),
        ((200, "{}", {}), "error", "no chat completion", 3),
        ((200, '{"choices": []}', {}), "error", "no chat completion", 3),
        ((200, '{"choices": [{"message": "x"}]}', {}), "error", "no chat completion", 3),
        ((200, '{"choices": [{"message": {"content": [1]}}]}', {}), "error", "holds no text", 3),
        (said(None), "error", "holds no text", 3),
        (said(""), "unparsed", "wrote nothing", 1),
        (said("kind=refusal"), "unparsed", "no verdict", 1),
        (said("I'm sorry, but I can't assist with that request."), "refused", "declined", 1),
        (said(None, message={"refusal": "no"}), "refused", "declined", 1),
        (said("", finish_reason="content_filter"), "refused", "declined", 1),
    ],
)
def test_what_is_no_verdict_is_never_a_score(
    serve: Any, answer: Answer, status: str, reason: str, attempts: int
) -> None:
    server = serve(lambda body, number: answer)
    (verdict,) = ask(server, attempts=3)
    assert (verdict.status, verdict.score, verdict.label) == (status, None, None)
    assert reason in verdict.reason
    assert len(server.asked) == attempts


def test_silence_and_endless_answers_end(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.6)
        return fine(body, number)

    (verdict,) = ask(serve(hang), timeout=0.1, attempts=2)
    assert verdict.reason == "the judge did not answer in time"
    monkeypatch.setattr(client, "LARGEST", 1000)
    (verdict,) = ask(serve(lambda body, number: said("x" * 5000)))
    assert verdict.reason == "the answer is longer than 1000 bytes"


def test_nobody_there(serve: Any) -> None:
    server = serve(fine)
    server.http.shutdown()
    server.http.server_close()
    (verdict,) = ask(server, attempts=2)
    assert verdict.status == "error"
    assert "cannot be reached" in verdict.reason


def test_an_outage_is_cheap_and_ends_when_the_judge_is_back(serve: Any) -> None:
    up = False
    server = serve(lambda body, number: fine(body, number) if up else (503, "down", {}))
    asked, _ = judge(server, attempts=3, concurrency=2)
    verdicts = asked.grade(BY, items(40))
    assert {verdict.status for verdict in verdicts} == {"error"}
    assert asked.client.down
    assert len(server.asked) <= 3 * (DOWN_AFTER + 2)
    assert verdicts[-1].reason == "the judge is down"
    before = len(server.asked)
    assert {verdict.status for verdict in asked.grade(BY, items(40))} == {"error"}
    assert len(server.asked) == before + 1  # one knock a batch
    up = True
    assert {verdict.status for verdict in asked.grade(BY, items(6))} == {"ok"}
    assert not asked.client.down


def test_questions_that_cannot_be_asked_do_not_count_as_an_outage(serve: Any) -> None:
    server = serve(lambda body, number: (400, "too long", {}))
    asked, _ = judge(server)
    asked.grade(BY, items(20))
    assert len(server.asked) == 20
    assert not asked.client.down


def test_repeats_have_a_budget(serve: Any) -> None:
    server = serve(lambda body, number: (429, "", {}))
    asked, pauses = judge(server, attempts=10, repeats=5, concurrency=1)
    asked.grade(BY, items(3))
    assert len(pauses) == 5
    assert len(server.asked) == 5 + 3


@pytest.mark.parametrize("code", [401, 403, 404])
def test_wrong_settings_end_the_run_and_name_no_key(serve: Any, code: int) -> None:
    server = serve(lambda body, number: (code, f"bad key {KEY}", {}))
    with pytest.raises(ConfigError, match=f"HTTP {code}") as raised:
        ask(server, key=KEY)
    assert KEY not in str(raised.value)


def test_the_key_is_written_nowhere(serve: Any) -> None:
    server = serve(lambda body, number: (500, f"your key {KEY} is fine", {}))
    asked, _ = judge(server, key=KEY, attempts=1)
    (verdict,) = asked.grade(BY, items(1))
    assert "(key)" in verdict.reason
    assert KEY not in "".join(map(str, (verdict, asked.identity, asked.name, repr(asked))))
    assert asked.identity == judge(server, key="another")[0].identity
    assert asked.identity != EndpointJudge("judge-2", server.url).identity
    assert asked.identity != EndpointJudge("judge-1", server.url, params={"temperature": 1}).identity


@pytest.mark.parametrize(
    "url",
    ["ftp://x/v1", "x/v1", "https://", "https://user:pass@x/v1", "https://x/v1?key=1", "https://x/v1#a", "http://x.invalid/v1"],
)  # fmt: skip
def test_urls_that_would_give_a_key_away(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        checked_url(url, with_key=True)
    assert "pass@" not in str(raised.value)


def test_urls_that_are_fine() -> None:
    assert checked_url("https://x/v1/", with_key=True) == "https://x/v1"
    for local in ("http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:1/v1"):
        assert checked_url(local, with_key=True) == local
    assert checked_url("http://cluster:8000/v1", with_key=False) == "http://cluster:8000/v1"


def test_keys_come_from_the_environment_and_go_to_their_own_host(monkeypatch: pytest.MonkeyPatch, serve: Any) -> None:
    server = serve(fine)
    monkeypatch.delenv("UNSWAYED_JUDGE_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    build_judge(f"openai:org/judge@{server.url}").grade(BY, items(1))
    assert "Authorization" not in server.asked[-1][2]
    assert server.asked[-1][1]["model"] == "org/judge"
    assert build_judge("openai:j@https://api.openai.com/v1").client._key == KEY  # type: ignore[attr-defined]
    monkeypatch.setenv("UNSWAYED_JUDGE_KEY", "own")
    build_judge(f"openai:j@{server.url}").grade(BY, items(1))
    assert server.asked[-1][2]["Authorization"] == "Bearer own"
