"""Running code that isn't ours."""

import pytest

from flujo.domain.foreign import attempt
from flujo.exceptions import ConfigurationError, PluginError, SettingsError


def failed(line, error):
    return PluginError(f"it failed: {line}", cause=error)


def raiser(error):
    def action():
        raise error

    return action


def test_what_works_gives_what_it_gives():
    assert attempt(lambda: 7, failed) == 7


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("y" * 400), "ValueError: " + "y" * 300),
    ],
)
def test_whatever_it_raises_becomes_an_error_of_ours_in_one_line(error, line):
    with pytest.raises(PluginError) as caught:
        attempt(raiser(error), failed)
    assert str(caught.value) == f"it failed: {line}"
    assert caught.value.__cause__ is error


def test_an_error_of_ours_stays_what_it_is_unless_others_are_named():
    with pytest.raises(SettingsError):
        attempt(raiser(SettingsError("no")), failed)
    with pytest.raises(PluginError, match="it failed: SettingsError: no"):
        attempt(raiser(SettingsError("no")), failed, but=PluginError)


def test_an_interruption_by_the_user_is_not_held_back():
    with pytest.raises(KeyboardInterrupt):
        attempt(raiser(KeyboardInterrupt()), lambda line, error: ConfigurationError(line))
