"""The command line as a plugin: its own commands are registered as anyone's are."""

from flujo.plugins import CommandRegistrar, hookimpl
from flujo_cli.commands import COMMANDS

__all__ = ["flujo_register_commands"]


@hookimpl
def flujo_register_commands(registrar: CommandRegistrar) -> None:
    """Register every command of this package."""
    for entry in COMMANDS:
        registrar.command(entry.path, entry.target, short_help=entry.short_help)
