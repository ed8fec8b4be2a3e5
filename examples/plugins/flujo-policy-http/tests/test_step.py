"""What a step of kind http may be."""

import pytest

import flujo_policy_http
from flujo import ConfigurationError
from flujo_policy_http import http

URL = "https://api.example.com/"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": " "}, "has no url"),
        ({"run": str.upper}, "sends a request, and runs nothing"),
        ({"method": "get"}, "has method 'get'"),
        ({"body": "x"}, "has a body, which GET does not send"),
        ({"headers": {"X Y": "z"}}, "has a header 'x y'"),
        ({"headers": {"Host": "other"}}, "has the header 'host'"),
        ({"headers": {"A": "1"}, "secret_headers": {"a": "$B"}}, "has the header 'a' twice"),
        ({"secret_headers": {"A": "plain"}}, "has a secret header 'A' without ${NAME}"),
        ({"secret_headers": {"A": "${"}}, "has a secret header 'A' without ${NAME}"),
        ({"expect": [99]}, r"expects [99]"),
        ({"answer": "xml"}, "has answer 'xml'"),
        ({"max_bytes": 0}, "lets no answer through"),
        ({"max_redirects": -1}, "lets no answer through"),
    ],
)
def test_a_request_that_can_not_be_meant_is_refused(options, message):
    with pytest.raises(ConfigurationError) as refused:
        http("x", **{"url": URL, **options})

    assert refused.value.message == f"step 'x' {message}"
    assert refused.value.suggestion


@pytest.mark.parametrize(("method", "effects"), [("GET", "none"), ("POST", "external")])
def test_a_request_that_changes_something_has_effects(method, effects):
    assert http("x", URL, method=method).effects == effects


def test_the_output_has_the_type_of_the_schema():
    assert http("x", URL, answer="text").output_type is str
    assert http("x", URL, output_schema=dict[str, int]).output_type == dict[str, int]


def test_the_public_names_are_there():
    assert all(getattr(flujo_policy_http, name) for name in flujo_policy_http.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'https'"):
        flujo_policy_http.https  # noqa: B018
