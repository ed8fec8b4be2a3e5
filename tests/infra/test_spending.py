"""Prices and budgets that a project's files set."""

from decimal import Decimal

import pytest

from flujo.domain.pricing import Price
from flujo.domain.quota import UsageLimits
from flujo.exceptions import SettingsError
from flujo.infra.config_manager import get_config_manager


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The settings of a project whose flujo.toml, or another of its files, holds this text."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))

    def read(text, name="flujo.toml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return get_config_manager(tmp_path, force_reload=True).settings(environ={})

    return read


def test_without_tables_there_are_neither_prices_nor_limits(settings):
    read = settings("")
    assert (dict(read.prices), read.budgets, read.limits_for("any")) == ({}, (), None)


def test_a_price_is_what_it_prints_as(settings):
    read = settings('[pricing."openai:*"]\ninput_usd_per_million = 2.5\noutput_usd_per_million = "10"\n')
    assert read.prices.find("openai:gpt-4o") == Price(Decimal("2.5"), 10)


def test_the_tightest_of_each_limit_holds_among_the_budgets_that_are_for_a_pipeline(settings):
    read = settings(
        "[budgets.default]\ntotal_cost_usd_limit = 5\nmax_calls = 10\n"
        '[budgets.pipeline."tickets-*"]\ntotal_cost_usd_limit = 1.5\nunpriced = "warn"\n'
        '[budgets.pipeline.tickets-urgent]\nmax_calls = 90\ntotal_tokens_limit = 7\nunpriced = "count"\n'
    )
    assert read.limits_for("letters") == UsageLimits(5, None, 10)
    assert read.limits_for("tickets-slow") == UsageLimits("1.5", None, 10, "warn")
    assert read.limits_for("tickets-urgent") == UsageLimits("1.5", 7, 10, "warn")


def test_each_value_knows_its_line(settings, tmp_path):
    read = settings(
        'state_uri = "memory:"\n[pricing."m"]\nusd_per_call = 1\n\n[pricing.n]\nusd_per_call = 2\n'
        "[budgets.default]  # ours\nmax_calls = 1\n[budgets.pipeline]\n'b-*' = { max_calls = 3 }\n"
    )
    assert {name: origin for name, origin in read.origins.items() if name.startswith(("pricing", "budgets"))} == {
        "pricing.m.usd_per_call": f"{tmp_path}/flujo.toml:3",
        "pricing.n.usd_per_call": f"{tmp_path}/flujo.toml:6",
        "budgets.default.max_calls": f"{tmp_path}/flujo.toml:8",
        "budgets.pipeline.b-*.max_calls": f"{tmp_path}/flujo.toml:10",
    }


def test_a_value_whose_line_is_not_plain_to_see_names_the_file(settings, tmp_path):
    read = settings('[ "bud\\u0067ets" . default ]\nmax_calls = 1\n')
    assert read.origins["budgets.default.max_calls"] == f"{tmp_path}/flujo.toml"


def test_of_two_tables_of_one_name_the_one_of_the_nearer_file_counts(settings, tmp_path):
    settings(
        "[pricing.m]\nusd_per_call = 1\n[pricing.n]\nusd_per_call = 1\n[budgets.default]\nmax_calls = 1\n",
        "xdg/flujo/config.toml",
    )
    settings(
        "[tool.flujo.pricing.m]\nusd_per_call = 2\n[tool.flujo.budgets.default]\nmax_calls = 2\n", "pyproject.toml"
    )
    read = settings("[budgets.default]\nmax_calls = 3\n")
    assert {name: price.usd_per_call for name, price in read.prices.items()} == {"m": 2, "n": 1}
    assert read.limits_for("p") == UsageLimits(max_calls=3)
    assert read.origins["pricing.m.usd_per_call"] == f"{tmp_path}/pyproject.toml:2"


@pytest.mark.parametrize(
    ("text", "message", "suggestion"),
    [
        (
            "[pricing.m]\nusd_per_calls = 1",
            "/flujo.toml:2 has no setting 'pricing.m.usd_per_calls'",
            "did you mean 'usd_per_call'?",
        ),
        (
            "[budgets.default]\nmax_calls = 1\nmax_cals = 1",
            "/flujo.toml:3 has no setting 'budgets.default.max_cals'",
            "did you mean 'max_calls'?",
        ),
        (
            "[budgets.pipelines.x]\nmax_calls = 1",
            "/flujo.toml:1 has no setting 'budgets.pipelines'",
            "did you mean 'pipeline'?",
        ),
        ("[budgets.zzz]\nx = 1", "/flujo.toml:1 has no setting 'budgets.zzz'", "expected one of default, pipeline"),
        ("pricing = 3", "pricing can't be 3, expected tables (", None),
        ("[budgets]\npipeline = 3", "budgets.pipeline can't be 3, expected tables (", None),
        ("[budgets]\ndefault = 3", "budgets.default can't be 3, expected one at least of total_cost_usd_limit, ", None),
        ("[pricing.m]", "pricing.m can't be {}, expected one at least of input_usd_per_million, output_", None),
        (
            "[pricing.m]\nusd_per_call = -1",
            "pricing.m.usd_per_call can't be -1, expected US dollars from 0 to 10^15 (",
            None,
        ),
        (
            "[budgets.default]\nunpriced = 'allow'",
            "budgets.default.unpriced can't be 'allow', expected 'deny', 'warn' or 'count' (",
            None,
        ),
        (
            "[budgets.pipeline.x]\nmax_calls = true",
            "budgets.pipeline.x.max_calls can't be True, expected a whole number from 0 (",
            None,
        ),
    ],
)
def test_a_table_that_can_not_be_is_refused_with_its_place(settings, tmp_path, text, message, suggestion):
    with pytest.raises(SettingsError) as caught:
        settings(text)
    assert message.replace("/flujo.toml", f"{tmp_path}/flujo.toml") in str(caught.value)
    assert message.startswith("/") or str(caught.value).endswith(
        (f"{tmp_path}/flujo.toml:1)", f"{tmp_path}/flujo.toml:2)")
    )
    assert caught.value.suggestion == suggestion
