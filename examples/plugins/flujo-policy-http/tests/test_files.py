"""Requests in pipeline files: the kind, and what is found wrong with them before anything runs."""

import pytest

SETTINGS = '[plugins.settings.flujo-policy-http]\nallow = ["{url}"]\nsecrets = ["BILLING"]\n'


@pytest.fixture
def write(flujo_project, service):
    """Write a pipeline of one step, given as its lines, in a project that allows the service."""
    flujo_project.write("flujo.toml", SETTINGS.format(url=service.url))

    def write(*lines):
        text = "\n    ".join(["  - name: ask", "kind: http", *lines]).replace("URL", service.url)
        return flujo_project.write("pipeline.yaml", f"steps:\n{text}\n")

    return write


def test_a_file_asks_as_python_does(flujo_project, write, service):
    service.says("/orders/7", {"total": 12})
    write(
        'url: "URL/orders/{{ input.id }}"',
        'headers: {X-Team: "{{ input.team }}"}',
        "expect: [200]",
        "output_schema: {type: object, required: [total]}",
    )
    done = flujo_project.flujo("run", "--quiet", "--input-json", '{"id": 7, "team": "red"}')

    assert (done.code, done.json) == (0, {"total": 12}), done.err
    assert service.got[0].headers["x-team"] == "red"


def test_a_type_in_python_may_be_the_schema(flujo_project, write, service):
    service.says("/n", {"total": 7})
    flujo_project.write("shapes.py", "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n    total: int\n")
    flujo_project.write("flujo.toml", 'blueprint_allowed_imports = ["shapes"]\n' + SETTINGS.format(url=service.url))
    write('url: "URL/n"', 'output_schema: "shapes:Order"')

    assert flujo_project.flujo("run", "--quiet", "--input", "x").json == {"total": 7}


@pytest.mark.parametrize("status", [200, 403])
def test_a_secret_is_in_no_file_of_the_project_and_in_no_line(flujo_project, write, service, status):
    service.says("/a", {"n": 1}, status)
    write('url: "URL/a?day=7"', 'secret_headers: {X-Key: "${BILLING}"}', "config: {max_retries: 0}")
    done = flujo_project.flujo("run", "--input", "x", env={"BILLING": "hush-4711"})

    assert service.got[0].headers["x-key"] == "hush-4711"
    kept = [path.read_bytes() for path in flujo_project.root.rglob("*") if path.is_file()]
    assert any(b"SQLite" in text for text in kept)
    assert b"hush-4711" not in b"".join([*kept, done.out.encode(), done.err.encode()])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["url: URL/", "verb: GET"], "unknown key 'verb'"),
        (["url: URL/", "method: FETCH"], "'method' should be 'GET'"),
        (["url: 'URL/{{ 9 ** 9 }}'"], "V-T02"),
        (["url: https://ann:hush@api.example.com/"], "error[HTTP-101] pipeline.yaml:4:10: the url holds a password"),
        (["url: 'URL/a?api_key=hush'"], "'api_key' in url is a secret that everyone can read"),
        (["url: URL/", "query: {token: hush}"], "'token' in query is a secret that everyone can read"),
        (["url: URL/", "headers: {Authorization: hush}"], "'Authorization' in headers is a secret"),
        (["url: https://other.example/{{ input }}"], "error[HTTP-102] pipeline.yaml:4:10: requests may not go to"),
        (["url: URL/", "secret_headers: {X-Key: $HOME}"], "step 'ask' may not send the variable 'HOME'"),
    ],
)
def test_what_is_wrong_is_found_at_its_place_before_anything_runs(flujo_cli, write, lines, says):
    write(*lines)
    done = flujo_cli("validate", "pipeline.yaml")

    assert done.code != 0
    assert says in done.out + done.err


@pytest.mark.parametrize(
    "lines",
    [
        ["url: '{{ input }}'"],
        ["url: 'http://[::1'"],
        ["url: 'https://{{ input }}/a'"],
        ["url: URL/", "query: {token: '{{ input }}'}"],
    ],
)
def test_what_only_the_run_can_tell_is_no_mistake_of_the_file(flujo_cli, write, lines):
    write(*lines)
    done = flujo_cli("validate", "pipeline.yaml")

    assert done.code == 0, done.err
