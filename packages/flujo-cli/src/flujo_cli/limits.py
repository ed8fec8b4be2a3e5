"""The options of commands that work on a run, what limits it before all; and the command that raises a limit."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from flujo.domain.quota import UsageLimits
from flujo.domain.usage import amount_text, dollars
from flujo.exceptions import UsageLimitExceededError
from flujo_cli.options import Options, json_option, no_input_option, sink_option, state_option, strict_background_option

__all__ = ["in_options", "limit_words", "replaced", "run_options", "tightened"]

F = TypeVar("F", bound=Callable[..., Any])

#: The options, by the limits that they set.
_OPTIONS = {"total_cost_usd_limit": "--max-cost", "total_tokens_limit": "--max-tokens", "max_calls": "--max-calls"}


def run_options(function: F) -> F:
    """Add what every command takes that works on a run: its limits, what is asked and heard, `--quiet` as the argument
    `quiet`, `--json` and `--state`.
    """
    quiet = click.option("--quiet", "-q", is_flag=True, help="Write only warnings and errors to stderr.")
    for add in (state_option, json_option, quiet, sink_option, strict_background_option, no_input_option):
        function = add(function)
    return _limit_options(function)


def _limit_options(function: F) -> F:
    """Add `--max-cost`, `--max-tokens` and `--max-calls`, whose values become `Options.limits`."""
    for name, metavar, text in (
        ("max_calls", "N", "Calls of models that the run may make."),
        ("total_tokens_limit", "N", "Tokens that the run may use, in both directions."),
        ("total_cost_usd_limit", "USD", "US dollars that the run may cost."),
    ):
        kind = str if metavar == "USD" else click.IntRange(min=0)
        function = click.option(
            _OPTIONS[name], name, metavar=metavar, type=kind, expose_value=False, callback=_note, help=text
        )(function)
    return function


def _note(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name is not None:
        amount = dollars(value, "--max-cost") if isinstance(value, str) else value
        ctx.ensure_object(Options).limits[param.name] = amount


def tightened(limits: UsageLimits | None, options: Options) -> UsageLimits | None:
    """The tightest of `limits` and those that the command was given."""
    if not options.limits:
        return limits
    given = UsageLimits(**options.limits)
    return given if limits is None else given.tightest(limits)


def replaced(limits: UsageLimits | None, options: Options) -> UsageLimits | None:
    """`limits`, each in whose place the command was given another with that one."""
    if not options.limits or limits is None:
        return tightened(limits, options)
    kept = {each.name: each.limit for each in limits.given}
    return UsageLimits(**{**kept, **options.limits}, unpriced=limits.unpriced)


def in_options(advice: str) -> str:
    """`advice` about limits, with the options of the command line in the place of their names."""
    for name, option in _OPTIONS.items():
        advice = advice.replace(name, option)
    return advice


def limit_words(options: Options, stopped_by: BaseException | None) -> list[str]:
    """The options that let the run go on under the limits that were given; a higher one where it was too low."""
    amounts = dict(options.limits)
    if isinstance(stopped_by, UsageLimitExceededError) and stopped_by.limit is not None:
        amounts[stopped_by.limit] = stopped_by.enough
    return [word for name, amount in amounts.items() for word in (_OPTIONS[name], amount_text(amount))]
