"""Variables of the environment that look like flujo's and that nothing reads."""

import os
from collections.abc import Mapping

from flujo.domain.suggest import did_you_mean
from flujo.infra.config_manager import setting_variables
from flujo_cli.output import Console

__all__ = ["warn_of_variables"]

#: What is read from the environment beside settings.
_OTHERS = (
    "FLUJO_DISABLE_PLUGIN_AUTOLOAD",
    "FLUJO_INPUT",
    "FLUJO_NO_PLUGINS",
    "FLUJO_PLUGINS",
    "FLUJO_PLUGINS_DEBUG",
    "FLUJO_PLUGINS_STRICT",
    "FLUJO_PLUGINS_TRACE",
    "FLUJO_STRICT_CONTEXT",
)


def warn_of_variables(console: Console, environ: Mapping[str, str] = os.environ) -> None:
    """Name on stderr each variable that begins with FLUJO_ and is none of flujo's; a plugin may have its own."""
    known = (*_OTHERS, *setting_variables())
    for name in sorted(environ):
        if name.startswith("FLUJO_") and name not in known:
            advice = did_you_mean(name, known, what="known are", most=99)
            told = console.paint("warning", "yellow", bold=True)
            console.note(f"{told}: flujo reads no variable {name}, unless a plugin does; {advice}")
