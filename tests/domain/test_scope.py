"""The outputs of the steps before, and the scope that shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.scope import Outputs, Scope

NAMES = st.text(min_size=1, max_size=3)


def filled(items, parent=None):
    outputs = Outputs(parent)
    for name, value in items.items():
        outputs.add(name, value)
    return outputs


def test_an_output_is_found_by_its_step_s_name():
    outputs = filled({"a": 1, "b": None})
    assert (outputs["a"], outputs["b"]) == (1, None)
    assert list(outputs) == ["a", "b"]
    assert "c" not in outputs
    assert outputs.get("c", 0) == 0


def test_an_unknown_step_is_a_key_error_however_deep_the_nesting():
    for outputs in (Outputs(), Outputs(Outputs())):
        with pytest.raises(KeyError, match="lamp"):
            outputs["lamp"]


def test_a_nested_pipeline_sees_its_parents_outputs_behind_its_own():
    parent = filled({"a": 1, "b": 2})
    child = filled({"b": 3, "c": 4}, parent)
    assert dict(child) == {"b": 3, "c": 4, "a": 1}
    assert len(child) == 3
    assert dict(parent) == {"a": 1, "b": 2}


def test_what_the_parent_adds_later_is_seen_too():
    parent = Outputs()
    child = Outputs(parent)
    parent.add("a", 1)
    assert child["a"] == 1


def test_a_step_that_runs_again_shows_its_newest_output():
    outputs = filled({"a": 1})
    outputs.add("a", 2)
    assert dict(outputs) == {"a": 2}


@given(st.lists(st.dictionaries(NAMES, st.integers(), max_size=4), min_size=1, max_size=4))
def test_nested_outputs_are_layers_of_which_the_innermost_wins(layers):
    outputs, expected = None, {}
    for layer in layers:
        outputs = filled(layer, outputs)
        expected |= layer
    assert dict(outputs) == expected
    assert len(outputs) == len(list(outputs)) == len(expected)


def test_a_scope_has_no_extra_names_unless_a_kind_adds_some():
    assert Scope("p", Outputs(), None, "i").extras == {}
