"""The mutants that `nox -s mutants` makes are still mutants of the code as it is."""

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("faults_mutants", Path(__file__).with_name("mutants.py"))
mutants = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(mutants)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_changes_stands_once_in_the_code(mutant):
    """Who rewrites a safeguard rewrites its mutant."""
    assert (mutants.ROOT / "packages" / mutant.file).read_text().count(mutant.old) == 1
