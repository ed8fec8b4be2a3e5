"""The filters, one by one."""

from datetime import date, datetime, time
from decimal import Decimal

import pytest

from flujo.exceptions import TemplateResolutionError

ROWS = [{"n": 3, "who": {"name": "c"}}, {"n": 1, "who": {"name": "a"}}, {"n": 3, "who": {"name": "b"}}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'aB' | upper", "AB"),
        ("'aB' | lower", "ab"),
        ("5 | upper", "5"),
        ("none | upper", ""),
        ("'  x ' | trim", "x"),
        ("'..x.' | trim('.')", "x"),
        ("'abc' | length", 3),
        ("[1, 2] | count", 2),
        ("{'a': 1} | length", 1),
        ("[1, none, 'a', [2]] | join('-')", "1--a-[2]"),
        ("[] | join", ""),
        ("{'a': 1, 'b': 2} | join(', ')", "a, b"),
        ("rows | join('+', attribute='who.name')", "c+a+b"),
        ("{'a': ['ä', none]} | tojson", '{"a": ["ä", null]}'),
        ("'a' | tojson", '"a"'),
        ("[1] | tojson(indent=1)", "[\n 1\n]"),
        ("[3, 4] | first", 3),
        ("[3, 4] | last", 4),
        ("{'k': 1} | first", "k"),
        ("[2, 1, 2, 1.0, 'a', [1], [1], '[1]'] | unique", [2, 1, "a", [1], "[1]"]),
        ("rows | unique('n') | length", 2),
        ("[2, 1, 3] | sort", [1, 2, 3]),
        ("['b', 'B', 'a'] | sort(reverse=true)", ["b", "a", "B"]),
        ("rows | sort(attribute='who.name') | join(attribute='n')", "133"),
        ("[none] | sort", [None]),
        ("[1, 2.5] | sum", 3.5),
        ("rows | sum('n')", 7),
        ("[1] | sum(start=10)", 11),
        ("[] | sum", 0),
        ("2.567 | round(2)", 2.57),
        ("2.4 | round", 2.0),
        ("25 | round(-1)", 20),
        ("'a-b-c' | replace('-', '+')", "a+b+c"),
        ("'a-b-c' | replace('-', '', 1)", "ab-c"),
        ("'one two three' | truncate(9)", "one..."),
        ("'one two three' | truncate(9, true)", "one tw..."),
        ("'one two three' | truncate(9, end='')", "one two"),
        ("'short' | truncate", "short"),
        ("'42' | int", 42),
        ("' 4.9 ' | int", 4),
        ("4.9 | int", 4),
        ("'x' | int(0)", 0),
        ("none | int(default=none)", None),
        ("'inf' | int(7)", 7),
        ("'1.5' | float", 1.5),
        ("2 | float", 2.0),
        ("'x' | float(0.5)", 0.5),
        ("[1] | float(none)", None),
        ("[1] | string", "[1]"),
        ("1.5 | string", "1.5"),
        ("{'a': 1} | list", ["a"]),
        ("'2026-01-31T12:30:00Z' | dateformat('%d.%m.%Y %H:%M %%')", "31.01.2026 12:30 %"),
        ("'2026-01-31' | dateformat", "2026-01-31"),
        ("'2026-01-31' | dateformat(format='%-d')", "31"),
    ],
)
def test_what_a_filter_gives(worth, text, value):
    result = worth("{{ " + text + " }}", rows=ROWS)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 | length", "filter 'length' takes text, a list or a mapping, not a number"),
        ("'ab' | join('-')", "filter 'join' takes a list, not text"),
        ("'ab' | first", "filter 'first' takes a list, not text"),
        ("none | list", "filter 'list' takes a list, not none"),
        ("rows | join(attribute='who.nam')", "an item has no key 'nam'; it has 'name'"),
        ("rows | sort", "filter 'sort' can't compare a mapping with a mapping"),
        ("[1, 'a'] | sort", "filter 'sort' can't compare a number with text"),
        ("['1'] | sum", "filter 'sum' takes a list of numbers, not text"),
        ("[1] | sum(start='a')", "filter 'sum' takes a list of numbers, not text"),
        ("'a' | round", "filter 'round' takes a number, not text"),
        ("1.5 | round(0.5)", "filter 'round' takes a whole number from -300 to 300"),
        ("'a' | replace(1, 2)", "filter 'replace' takes text, not a number"),
        ("'abcdef' | truncate(2)", "filter 'truncate' can't cut to 2 characters"),
        ("'a' | trim(1)", "filter 'trim' takes text, not a number"),
        ("'x' | int", "filter 'int' can't make a number of this: text"),
        ("'nan' | float", "a number in the template is too large"),
        ("none | float", "filter 'float' can't make a number of this: none"),
        ("'soon' | dateformat", "filter 'dateformat' can't read this text as a date"),
        ("5 | dateformat", "filter 'dateformat' takes text, not a number"),
        ("'2026-01-31' | dateformat('%0999999999d')", "filter 'dateformat' takes a short format of plain directives"),
        ("[1] | tojson(99)", "filter 'tojson' takes a whole number from 0 to 16"),
    ],
)
def test_what_a_filter_refuses(worth, text, message):
    with pytest.raises(TemplateResolutionError) as caught:
        worth("{{ " + text + " }}", rows=ROWS)
    assert str(caught.value).startswith(message)


def test_what_a_filter_can_not_do_with_the_value_is_an_error(worth):
    with pytest.raises(TemplateResolutionError, match="filter 'sort' can't take a list: can't compare offset-naive"):
        worth(
            "{{ x | sort }}", x=[datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2026-01-01T00:00:00Z")]
        )


def test_filters_take_what_steps_hand_on(worth):
    assert worth("{{ x | dateformat('%H:%M') }}", x=time(3, 4)) == "03:04"
    assert worth("{{ x | dateformat('%d') }}", x=date(2026, 1, 31)) == "31"
    assert worth("{{ x | sum }}", x=[Decimal("1.5"), Decimal(2)]) == Decimal("3.5")
    assert worth("{{ x | int }}", x=Decimal("3.7")) == 3
    assert worth("{{ x | sort }}", x={3, 1, 2}) == [1, 2, 3]
    assert worth("{{ x | sort | first }}", x=[date(2026, 1, 2), date(2026, 1, 1)]) == date(2026, 1, 1)
