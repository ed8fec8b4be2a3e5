"""What calls cost by the pricing of plugins."""

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

from flujo.domain.foreign import attempt
from flujo.domain.usage import Usage, dollars
from flujo.exceptions import ConfigurationError, PluginError
from flujo.plugins.contributions import PricingSpec

__all__ = ["plugin_price"]


def plugin_price(pricing: Mapping[str, PricingSpec], model: str, usage: Usage) -> Decimal | None:
    """The cost in US dollars that the plugin for the model's prefix says; None where none does.

    Raises `PluginError` for pricing that fails or says what is no price, `PolicyConflictError` for a prefix that two
    plugins claim.
    """
    prefix, colon, _ = model.partition(":")
    if not colon or prefix not in pricing:
        return None
    spec = pricing[prefix]
    told = attempt(partial(spec.target, model, usage), partial(_failed, spec, model), but=ConfigurationError)
    return None if told is None else dollars(told, f"the price of {model!r} that plugin {spec.provider} says")


def _failed(spec: PricingSpec, model: str, said: str, error: BaseException) -> PluginError:
    advice = f'give [pricing."{model}"] in flujo.toml, which comes first, or mend the plugin'
    return PluginError(f"plugin {spec.provider} can't price {model!r}: {said}", suggestion=advice, cause=error)
