"""What this package adds to flujo: the state scheme `sqlite`."""

from typing import TYPE_CHECKING

from flujo.plugins import hookimpl

if TYPE_CHECKING:
    from flujo.plugins import StateBackendRegistrar

__all__ = ["flujo_register_state_backends"]


@hookimpl
def flujo_register_state_backends(registrar: "StateBackendRegistrar") -> None:
    """Offer `sqlite:///relative.db` and `sqlite:////absolute.db`; the module is imported when one is opened."""
    registrar.backend("sqlite", "flujo_state_sqlite.backend:open_sqlite")
