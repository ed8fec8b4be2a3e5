"""What the settings allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.exceptions import SettingsError
from flujo_policy_http import HttpSettings
from flujo_policy_http.settings import Origin

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z][a-z0-9]{0,5}){1,3}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("api.example.com", "https://api.example.com"),
        ("HTTPS://API.example.com./", "https://api.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://*.example.com:443", "https://*.example.com"),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(text, origin):
    assert str(Origin.of(text)) == origin


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "ftp://a.b", "https://a.b/path", "https://u@a.b", "https://a.b?x", "https://a.b:x", "a b"]
)
def test_anything_else_is_no_origin(text):
    with pytest.raises(SettingsError, match="'allow': "):
        HttpSettings.of({"allow": [text]})


@given(NAMES, NAMES)
def test_a_star_stands_for_hosts_under_a_name_and_not_for_the_name(name, below):
    star = Origin.of(f"*.{name}")
    assert star.covers(Origin.of(f"{below}.{name}"))
    assert not star.covers(Origin.of(name))
    assert not star.covers(Origin.of(f"{below}x{name}"))
    assert not star.covers(Origin.of(f"http://{below}.{name}"))
    assert not star.covers(Origin.of(f"{below}.{name}:8443"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"hosts": []}, "unknown setting 'hosts'"),
        ({"allow": "a.b"}, "'allow' is 'a.b', expected a list of texts"),
        ({"secrets": [1]}, r"'secrets' is \[1\], expected a list of texts"),
        ({"secrets": ["A=B"]}, "'A=B' in 'secrets' is no name of an environment variable"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(table, message):
    with pytest.raises(SettingsError, match=message):
        HttpSettings.of(table)


def test_without_settings_nothing_is_allowed():
    assert not HttpSettings.of({}).allows(Origin.of("localhost"))
