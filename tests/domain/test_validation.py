"""Findings about a sequence of steps."""

from typing import Any

from flujo import Step
from flujo.domain.validation import Finding, Location, check_sequence


def part(name: str, input_type: Any = Any, output_type: Any = Any, *, takes_previous: bool = True) -> Step[Any, Any]:
    """A step with these types."""

    def function(data):
        return data

    function.__annotations__ = {"data": input_type, "return": output_type}
    return Step(name, function) if takes_previous else Step(name, function, input=1)


def findings(*parts, path=""):
    return [(finding.code, finding.path, finding.message) for finding in check_sequence(parts, path)]


def test_a_sequence_that_fits_has_no_findings():
    assert findings() == []
    assert findings(part("a", output_type=int), part("b", int, str), part("c", str)) == []


def test_a_finding_names_the_step_by_its_path_and_says_how_to_mend_it():
    (finding,) = check_sequence([part("a", output_type=int), part("b", str)], "sub:p/")
    assert finding == Finding(
        "V-T01",
        "step 'a' gives int, but step 'b' takes str",
        path="sub:p/b",
        help="change one of the annotations, or give 'b' an 'input' that converts",
    )


def test_names_and_types_are_found_at_once():
    parts = [part("a", output_type=int), part("a", str, list[int]), part("b", list[str])]
    assert findings(*parts, path="p/") == [
        ("V-N02", "p/a", "two steps are named 'a'"),
        ("V-T01", "p/a", "step 'a' gives int, but step 'a' takes str"),
        ("V-T01", "p/b", "step 'a' gives list[int], but step 'b' takes list[str]"),
    ]


def test_a_step_that_does_not_take_the_previous_output_fits_after_anything():
    assert findings(part("a", output_type=int), part("b", str, takes_previous=False)) == []


def test_types_of_one_name_are_told_apart():
    ours = type("Order", (), {"__module__": "ours", "__qualname__": "Order"})
    theirs = type("Order", (), {"__module__": "theirs", "__qualname__": "Order"})
    assert findings(part("a", output_type=ours), part("b", theirs))[0][2] == (
        "step 'a' gives ours.Order, but step 'b' takes theirs.Order"
    )


def test_places_are_ordered_by_file_line_and_column():
    places = [Location("b.yaml", 1, 1), Location("a.yaml", 10, 1), Location("a.yaml", 9, 2), Location("a.yaml", 9, 1)]
    assert sorted(places) == places[::-1]
