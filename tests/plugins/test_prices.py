"""What plugins say that calls of models cost."""

from decimal import Decimal

import pytest

from flujo import Flujo, Price, Usage, UsageLimits, agent
from flujo.domain.agents import AgentResult
from flujo.exceptions import ConfigurationError, PluginError, PolicyConflictError, UsageLimitExceededError
from flujo.plugins import create_plugin_manager, hookimpl
from flujo.runner.arguments import prices_of

USED = Usage(calls=1, tokens_in=10, tokens_out=5)


class Prices:
    """A plugin that prices models of `prefix` by `target`."""

    def __init__(self, prefix, target):
        self.prefix = prefix
        self.target = target

    @hookimpl
    def flujo_register_pricing(self, registrar):
        registrar.pricing(self.prefix, self.target)


def a_cent_a_token(model, usage):
    return None if model == "acme:unknown" else Decimal("0.01") * usage.tokens


def prices(*plugins, **given):
    found = {name.replace("_", ":"): Price(usd_per_call=cost) for name, cost in given.items()}
    return prices_of(found, create_plugin_manager(*plugins, discover=False))


def test_a_plugin_prices_the_models_of_its_prefix():
    table = prices(Prices("acme", a_cent_a_token))

    assert table.price("acme:large", USED) == Usage(1, 10, 5, Decimal("0.15"))
    assert [table.price(model, USED) for model in ("acme:unknown", "other:large", "acme")] == [None, None, None]


def test_a_price_of_the_project_comes_before_that_of_a_plugin():
    table = prices(Prices("acme", a_cent_a_token), acme_large=7)

    assert table.price("acme:large", USED).cost_usd == 7
    assert table.price("acme:small", USED).cost_usd == Decimal("0.15")


def test_a_call_that_tells_its_own_cost_is_not_priced():
    told = Usage(1, 10, 5, Decimal(3))

    assert prices(Prices("acme", a_cent_a_token)).price("acme:large", told) is told


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (lambda model, usage: 1 / 0, PluginError, "plugin Prices can't price 'acme:x': ZeroDivisionError"),
        (
            lambda model, usage: "much",
            ConfigurationError,
            "the price of 'acme:x' that plugin Prices says can't be 'much', expected US dollars from 0 to 10\\^15",
        ),
        (lambda model, usage: -1, ConfigurationError, "that plugin Prices says can't be -1"),
        ("no_such_module:price", PluginError, "plugin Prices offers 'no_such_module:price', which can't be loaded"),
    ],
)
def test_a_pricing_that_fails_names_its_plugin(target, error, message):
    with pytest.raises(error, match=message):
        prices(Prices("acme", target)).price("acme:x", USED)


def test_a_prefix_that_two_plugins_price_has_no_price():
    table = prices(Prices("acme", a_cent_a_token), Prices("acme", a_cent_a_token))

    with pytest.raises(PolicyConflictError, match="pricing for 'acme' is claimed by Prices and Prices#2"):
        table.price("acme:x", USED)


class Model:
    """Answers with the data; each call is told to use a token for each character."""

    model = "acme:large"

    async def run(self, data):
        return AgentResult(data, Usage(1, len(data)))

    def estimate(self, data):
        return Usage(1, len(data))


async def test_a_limit_of_cost_holds_by_the_price_of_a_plugin():
    manager = create_plugin_manager(Prices("acme", a_cent_a_token))
    flujo = Flujo(agent("ask", Model()), plugins=manager, usage_limits=UsageLimits(total_cost_usd_limit="0.05"))

    fits, exceeds = await flujo.run("four"), await flujo.run("sixsix")

    assert (fits.status, fits.usage.cost_usd) == ("completed", Decimal("0.04"))
    assert isinstance(exceeds.exception, UsageLimitExceededError)
