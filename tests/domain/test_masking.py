"""What counts as a secret in texts that are logged and recorded."""

import pytest

from flujo import Flujo, step
from flujo.domain.masking import is_secret_name, masked
from flujo.domain.outcomes import ErrorInfo
from flujo.exceptions import FlujoError

ENVIRON = {"OPENAI_API_KEY": "sk-12345", "LONG_TOKEN": "sk-12345-more", "PWD": "/srv/place", "PIN_SECRET": "1234"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the key sk-12345 is wrong", "the key *** is wrong"),
        ("sk-12345-more", "***"),
        ("in /srv/place with 1234", "in /srv/place with 1234"),
        ("db://ann:hunter2@host/x", "db://ann:***@host/x"),
        ("at 'db://:p@ss@host:5432'", "at 'db://:***@host:5432'"),
        ("http://host:8000/a@b", "http://host:8000/a@b"),
        ("http://h/x?api_key=abc&page=2&token=d", "http://h/x?api_key=***&page=2&token=***"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("authorization: Basic YTpi", "authorization: Basic ***"),
        ("Authorization=abc", "Authorization=***"),
        ("max_tokens=100 is too much", "max_tokens=100 is too much"),
    ],
)
def test_secrets_are_masked_and_nothing_else_is(text, shown):
    assert masked(text, ENVIRON) == shown


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "db.password", "PGPASSWORD", "MYSQL_PWD", "x-token", "AWS_SECRET_ID"]
)
def test_a_name_says_that_it_stands_for_a_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "PATH", "KEY", "tokens_in", "max_tokens", "SSH_AUTH_SOCK", "monkey"])
def test_other_names_do_not(name):
    assert not is_secret_name(name)


def test_a_path_is_no_secret_whatever_it_is_called():
    assert masked("no file /run/secrets/db", {"DB_PASSWORD": "/run/secrets/db"}) == "no file /run/secrets/db"


def test_an_errors_message_and_advice_are_recorded_without_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")
    told = ErrorInfo.of(FlujoError("sk-12345 is refused", suggestion="sk-12345?"), "ask")
    assert (told.message, told.suggestion) == ("*** is refused", "***?")


async def test_a_failed_run_hands_out_and_records_its_error_without_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-12345")

    @step
    def ask(_: str) -> str:
        raise ValueError("401 for key sk-12345")

    async with Flujo(ask) as flujo:
        result = await flujo.run("x", run_id="r")
        row = await flujo._session.backend.get("r")
    assert (result.error.message, row.error.message) == ("401 for key ***",) * 2
    assert str(result.exception) == "401 for key sk-12345"
