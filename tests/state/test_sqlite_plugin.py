"""The package offers its backend to flujo, and costs nothing until a state is opened."""

import subprocess
import sys

from flujo_state_sqlite import plugin


class Registrar:
    def __init__(self):
        self.given = []

    def backend(self, scheme, factory):
        self.given.append((scheme, factory))


def test_plugin_offers_the_scheme_by_name_only():
    registrar = Registrar()
    plugin.flujo_register_state_backends(registrar)
    assert registrar.given == [("sqlite", "flujo_state_sqlite.backend:open_sqlite")]


def test_plugin_is_imported_without_the_database():
    script = "import flujo_state_sqlite.plugin, sys; print('flujo_state_sqlite.backend' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
