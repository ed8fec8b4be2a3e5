"""The contract of plugins does not change unnoticed."""

import json

from docs.plugin_api import FILE, contract


def test_the_contract_is_the_one_that_is_written_down():
    assert json.loads(FILE.read_text(encoding="utf-8")) == contract(), "write it anew: python -m docs.plugin_api"
