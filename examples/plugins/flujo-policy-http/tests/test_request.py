"""What is sent, and where it may go."""

import json

import httpx
import pytest

from flujo import ConfigurationError, StepConfig
from flujo_policy_http import HostNotAllowed, HttpSettings, http
from flujo_policy_http.request import hop


async def test_a_request_goes_where_the_template_says_and_its_json_is_the_output(service, run):
    service.says("/orders/7", {"total": 12})
    result = await run(http("order", service.url + "/orders/{{ previous_step.id }}"), {"id": 7})

    assert result.output == {"total": 12}
    assert [(got.method, got.path) for got in service.got] == [("GET", "/orders/7")]


async def test_a_query_is_quoted_and_lists_are_repeated(service, run):
    service.says("/find")
    await run(
        http("find", f"{service.url}/find?a=1", query={"q": "{{ input }}", "tag": ["x", "y"], "no": None}), "b&c=d"
    )

    assert service.got[0].path == "/find?a=1&q=b%26c%3Dd&tag=x&tag=y"


@pytest.mark.parametrize(
    ("body", "sent", "kind"),
    [({"id": "{{ input }}"}, b'{"id":"7"}', "application/json"), ("id {{ input }}", b"id 7", None)],
)
async def test_a_body_is_json_unless_it_is_a_text(service, run, body, sent, kind):
    service.says("/orders", status=201)
    await run(http("new", f"{service.url}/orders", method="POST", body=body), "7")

    (got,) = service.got
    assert (got.method, got.body, got.headers.get("content-type")) == ("POST", sent, kind)


async def test_every_attempt_has_the_same_key_and_every_step_its_own(service, run):
    service.says("/a", status=503)
    service.says("/a")
    await run(http("one", f"{service.url}/a", config=StepConfig(max_retries=1)) >> http("two", f"{service.url}/a"))

    first, again, other = (got.headers["idempotency-key"] for got in service.got)
    assert first == again != other


LEAVING = ["7?admin=1", "7#", "../keys", "7&x=1", "a\\b", "..", ".", "7/x", "%2e%2e", "%2E", "7%2Fx", "7%5cx"]


@pytest.mark.parametrize("put_in", LEAVING)
async def test_data_can_not_leave_its_place_in_the_url(service, run, put_in):
    result = await run(http("order", service.url + "/orders/{{ input }}"), put_in)

    assert "would change the url, not only fill it in" in result.error.message
    assert service.got == []


async def test_data_that_says_the_origin_may_not_go_up_in_the_path(service, run):
    service.says("/v1/orders", 1)
    step = http("orders", "{{ input.base }}/orders{{ input.more }}")

    assert (await run(step, {"base": f"{service.url}/v1", "more": ""})).output == 1
    assert "would change the url" in (await run(step, {"base": service.url, "more": "/%2e%2e/keys"})).error.message


async def test_dots_and_percent_signs_that_stay_in_their_place_are_data(service, run):
    service.says("/orders/v1.2%20a", 1)

    assert (await run(http("order", service.url + "/orders/{{ input }}"), "v1.2%20a")).output == 1


async def test_a_whole_url_from_data_may_go_to_an_allowed_origin_only(service, run):
    service.says("/next", 1)
    step = http("next", "{{ input }}")

    assert (await run(step, f"{service.url}/next?page=2")).output == 1
    elsewhere = await run(step, "http://169.254.169.254/latest")
    assert elsewhere.error.message == "requests may not go to 'http://169.254.169.254'"
    assert service.url in elsewhere.error.suggestion


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/orders", "ftp://{}", "http://user@{}/", "//{}"])
async def test_what_is_no_place_on_the_web_is_refused(service, run, url):
    result = await run(http("x", "{{ input }}"), url.format(service.url.removeprefix("http://")))

    assert result.error.code == "HTTP-1"
    assert "expected https://HOST/PATH without a user" in result.error.message


async def test_text_that_is_no_url_at_all_is_refused(run):
    result = await run(http("x", "{{ input }}"), "http://[::1")

    assert result.error.message.startswith("the url of step 'x' is none: ")


async def test_a_query_of_mappings_is_refused(service, run):
    result = await run(http("x", service.url, query={"q": "{{ input }}"}), {"a": 1})

    assert result.error.message == "'q' in query is a dict, expected a text, a number or a list"


async def test_a_header_of_several_lines_is_refused(service, run):
    result = await run(http("x", service.url, headers={"X-Name": "{{ input }}"}), "a\r\nX-Admin: yes")

    assert result.error.message == "the value of header 'X-Name' is no line of ascii text"


@pytest.mark.parametrize("url", ["https://other.example/", "https://other.example/{{ input }}"])
async def test_a_url_that_is_not_allowed_is_refused_before_anything_runs(run, url):
    with pytest.raises(ConfigurationError, match=r"may not go to 'https://other\.example'"):
        await run(http("x", url))


async def test_a_secret_is_sent_but_stands_in_no_record(service, run, plugins, monkeypatch):
    monkeypatch.setenv("BILLING", "hush-4711")
    service.says("/a", {"ok": True})
    step = http("x", f"{service.url}/a", secret_headers={"Authorization": "Bearer ${BILLING}"})
    result = await run(step, manager=plugins(secrets=("BILLING",)))

    assert service.got[0].headers["authorization"] == "Bearer hush-4711"
    assert "hush-4711" not in repr(result) + json.dumps(step.definition())


@pytest.mark.parametrize(("status", "value"), [(200, {"token": "hush-4711"}), (401, {"bad": "hush-4711"})])
async def test_an_answer_that_repeats_a_secret_is_not_recorded(service, run, plugins, monkeypatch, status, value):
    monkeypatch.setenv("BILLING", "hush-4711")
    service.says("/a", value, status)
    step = http("x", f"{service.url}/a", secret_headers={"X-Key": "${BILLING}"})
    result = await run(step, manager=plugins(secrets=("BILLING",)))

    assert result.status == "failed"
    assert "hush-4711" not in repr(result) + repr(result.error)


async def test_a_secret_that_nobody_granted_is_refused_before_anything_runs(service, run):
    with pytest.raises(ConfigurationError, match="step 'x' may not send the variable 'HOME'"):
        await run(http("x", service.url, secret_headers={"X-Home": "$HOME"}))


async def test_a_secret_that_is_not_set_is_told_by_its_name(service, run, plugins, monkeypatch):
    monkeypatch.delenv("BILLING", raising=False)
    step = http("x", service.url, secret_headers={"X-Key": "$BILLING"})
    result = await run(step, manager=plugins(secrets=("BILLING",)))

    assert result.error.message == "step 'x' needs the variable 'BILLING', which is not set"


async def test_a_redirect_is_followed_with_the_step_s_headers_where_it_stays(service, run):
    service.says("/old", status=307, Location="/new")
    service.says("/new", 1)
    result = await run(http("x", f"{service.url}/old", method="POST", body="b", headers={"X-Team": "red"}))

    assert result.output == 1
    assert [(got.method, got.body, got.headers["x-team"]) for got in service.got] == [("POST", b"b", "red")] * 2


async def test_a_redirect_elsewhere_takes_no_header_of_the_step_s(service, run, plugins):
    other = service.url.replace("127.0.0.1", "localhost")
    service.says("/old", status=302, Location=f"{other}/new")
    service.says("/new", 1)
    step = http("x", f"{service.url}/old", headers={"X-Team": "red"})
    result = await run(step, manager=plugins(other))

    assert result.output == 1
    assert ["x-team" in got.headers for got in service.got] == [True, False]
    assert len({got.headers["idempotency-key"] for got in service.got}) == 1


async def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(service, run):
    service.says("/old", status=302, Location="http://169.254.169.254/latest")
    result = await run(http("x", f"{service.url}/old"))

    assert result.error.message == "requests may not go to 'http://169.254.169.254'"


def test_a_redirect_from_https_to_http_is_not_followed():
    settings = HttpSettings.of({"allow": ["https://api.example.com", "http://api.example.com"]})
    response = httpx.Response(302, request=httpx.Request("GET", "https://api.example.com/a?key=private"))
    response.next_request = httpx.Request("GET", "http://api.example.com/b")

    with pytest.raises(HostNotAllowed, match=r"^https://api\.example\.com/a redirects from https to http$"):
        hop(response, settings)


async def test_redirects_without_end_are_left(service, run):
    service.says("/round", status=302, Location="/round")
    result = await run(http("x", f"{service.url}/round", max_redirects=2))

    assert result.error.message == f"{service.url}/round is one redirect too many, of 2 that may be"
    assert len(service.got) == 3


async def test_a_redirect_that_is_expected_is_the_answer(service, run):
    service.says("/old", {"see": "other"}, 303, Location="/new")
    result = await run(http("x", f"{service.url}/old", expect=[303]))

    assert result.output == {"see": "other"}
