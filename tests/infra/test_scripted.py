"""Answers that are written down: in order or by key, in a file or in the code."""

from types import SimpleNamespace

import pytest

from flujo import AgentResult, Usage, scripted
from flujo.exceptions import ConfigurationError, ExecutionError


def call(number: int, feedback: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(calls=number - 1, feedback=feedback)


async def test_a_list_is_answers_in_order():
    agent = scripted(["one", {"two": 2}])
    assert await agent.run("x", run=call(1)) == AgentResult("one", Usage(1, 1, 1))
    assert (await agent.run("x", run=call(2))).output == {"two": 2}
    with pytest.raises(ConfigurationError, match=r"agent 'scripted:\w{8}' has 2 answers, and this is call 3"):
        await agent.run("x", run=call(3))
    short = scripted(["one"])
    with pytest.raises(ConfigurationError, match=r"has 1 answer, and this is call 2"):
        short.estimate("x", run=call(2))


async def test_a_mapping_is_answers_by_the_data_as_text():
    agent = scripted({"red": 1, '{"id": 7}': 2, "*": 3}, model="m")
    answers = [(await agent.run(data, run=call(9))).output for data in ("red", {"id": 7}, "blue", None)]
    assert answers == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("key", "message", "advice"),
    [
        ("read", "agent 'm' has no answer to 'read'", "did you mean 'red'?"),
        ("x" * 99, f"agent 'm' has no answer to '{'x' * 57}...'", "it has answers to green, red"),
    ],
)
async def test_a_key_without_an_answer_names_the_nearest(key, message, advice):
    with pytest.raises(ConfigurationError) as caught:
        await scripted({"red": 1, "green": 2}, model="m").run(key, run=call(1))
    assert (str(caught.value), caught.value.suggestion) == (message, advice)


async def test_an_answer_may_say_its_tokens_or_be_an_error():
    agent = scripted([{"answer": [1], "tokens_in": 5, "tokens_out": 0}, {"error": "down"}, {"answer": "é" * 5}])
    assert await agent.run("x", run=call(1)) == AgentResult([1], Usage(1, 5, 0))
    with pytest.raises(ExecutionError, match=r"^down$"):
        await agent.run("x", run=call(2))
    assert (await agent.run("12345", run=call(3))).usage == Usage(1, 2, 3)


async def test_the_estimate_is_what_the_answer_uses():
    agent = scripted(["one", {"answer": 2, "tokens_out": 9}, {"error": "down"}])
    estimates = [agent.estimate("data", run=call(number)) for number in (1, 2, 3)]
    used = [(await agent.run("data", run=call(number))).usage for number in (1, 2)]
    assert estimates == [*used, Usage(1)]


async def test_an_answer_is_a_fresh_value_each_time():
    agent = scripted({"*": {"tags": []}})
    first = (await agent.run("x", run=call(1))).output
    first["tags"].append("changed")
    assert (await agent.run("x", run=call(2))).output == {"tags": []}


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '["one", 2]'), ("a.json", '\ufeff["one", 2]'), ("a.jsonl", '"one"\r\n\r\n2\n')],
)
async def test_a_file_holds_json_or_one_value_a_line(tmp_path, monkeypatch, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    agent = scripted(name)
    assert agent.model == f"scripted:{name}"
    assert [(await agent.run("x", run=call(number))).output for number in (1, 2)] == ["one", 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.json", None, "answers can't be read from '{path}': [Errno 2] No such file or directory: '{path}'"),
        ("a.json", b"[1,", "answers can't be read from '{path}': Expecting value: line 1 column 4 (char 3)"),
        ("a.jsonl", b"1\n{", "answers can't be read from '{path}, line 2': Expecting property name enclosed"),
        ("a.json", b"\xff", "answers can't be read from '{path}': 'utf-8' codec can't decode byte 0xff"),
        ("a.json", b"[]", "agent 'scripted:{path}' has no answers"),
        ("a.json", b'"one"', "agent 'scripted:{path}' has no answers"),
    ],
)
def test_a_file_without_answers_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        scripted(path)
    assert str(caught.value).startswith(message.format(path=path))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([1, {"answer": 1, "tokens_in": -1}], "agent 'm' has tokens_in -1 in answer 2"),
        ({"k": {"answer": 1, "tokens_out": 1.5}}, "agent 'm' has tokens_out 1.5 in answer 'k'"),
        ([{"error": 3}], "agent 'm' has an error that is no text in answer 1"),
        ({}, "agent 'm' has no answers"),
        (3, "agent 'm' has no answers"),
    ],
)
def test_answers_that_can_t_be_are_refused(answers, message):
    with pytest.raises(ConfigurationError) as caught:
        scripted(answers, model="m")
    assert str(caught.value) == message


async def test_an_object_with_a_key_answer_is_an_answer_when_it_is_wrapped():
    answer = {"answer": 1, "reason": "so"}
    assert (await scripted([{"answer": answer}]).run("x", run=call(1))).output == answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"answer": 1, "reason": "so"}, "agent 'm' has 'reason' beside 'answer' in answer 1"),
        ({"error": "down", "token_in": 1}, "agent 'm' has 'token_in' beside 'error' in answer 1"),
    ],
)
def test_a_key_that_nobody_knows_beside_an_answer_is_refused(answer, message):
    with pytest.raises(ConfigurationError) as caught:
        scripted([answer], model="m")
    assert str(caught.value) == message
    assert '{"answer": {...}}' in caught.value.suggestion


async def test_where_answers_run_out_the_error_says_what_was_wrong_with_the_last_one():
    with pytest.raises(ConfigurationError, match=r"this is call 2; the last one would not do: \$: not a number"):
        await scripted(["one"]).run("x", run=call(2, "$: not a number"))
