"""The contract of plugins does not change unnoticed, and once it is released not without another version."""

import json

import pytest
from docs.plugin_api import FILE, RELEASED, contract, least_version, version

OLD = {
    "api": "1.2",
    "groups": ["flujo.plugins"],
    "hooks": {"flujo_register_pricing": {"registrar": "PricingRegistrar", "pricing": "(prefix, *, override=False)"}},
    "every registrar": {"supports": "(feature)"},
    "names": ["Offer"],
}


def hook(called, **more):
    return OLD | {"hooks": {"flujo_register_pricing": {"registrar": "PricingRegistrar", "pricing": called, **more}}}


def test_the_contract_is_the_one_that_is_written_down():
    assert json.loads(FILE.read_text(encoding="utf-8")) == contract(), "write it anew: python -m docs.plugin_api"


def test_the_contract_has_another_version_than_the_released_ones_that_it_differs_from():
    for file in RELEASED.glob("*.json"):
        released = json.loads(file.read_text(encoding="utf-8"))
        if version(released) <= version(contract()):
            assert version(contract()) >= least_version(released, contract()), f"{file.name} is released: raise API_1"


@pytest.mark.parametrize(
    ("new", "least"),
    [
        (OLD, (1, 2)),
        (OLD | {"names": ["Offer", "Rank"]}, (1, 3)),
        (OLD | {"hooks": {**OLD["hooks"], "flujo_register_sounds": {"sound": "(name)"}}}, (1, 3)),
        (hook("(prefix, *, override=False)", prices="(all)"), (1, 3)),
        (hook("(prefix, *, currency='USD', override=False)"), (1, 3)),
        (hook("(prefix)"), (2, 0)),
        (hook("(prefix, *, override=True)"), (2, 0)),
        (hook("(prefix, target, *, override=False)"), (2, 0)),
        (OLD | {"hooks": {}}, (2, 0)),
        (OLD | {"names": []}, (2, 0)),
        (OLD | {"groups": ["flujo.extensions"]}, (2, 0)),
    ],
)
def test_what_is_new_needs_a_minor_version_and_what_is_gone_or_changed_a_major_one(new, least):
    assert least_version(OLD, new) == least
