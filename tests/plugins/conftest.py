"""What plugin tests share: how the record of a plugin is found."""

from collections.abc import Callable

import pytest

from flujo.plugins import PluginManager, PluginRecord


@pytest.fixture
def record_of() -> Callable[[PluginManager, str], PluginRecord]:
    """Find the record of a distribution."""

    def find(manager: PluginManager, dist: str) -> PluginRecord:
        return next(record for record in manager.records if record.dist == dist)

    return find
