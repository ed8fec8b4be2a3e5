"""Which error ends with which code."""

import pytest

from flujo import exceptions
from flujo.domain.validation import Finding
from flujo_cli.exit_codes import EXIT_CODE_HELP, EXIT_CODES, ExitCode, code_for


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("RunOwnedElsewhere", 75),
        ("BlueprintError", 4),
        ("TypeMismatchError", 4),
        ("TemplateResolutionError", 4),
        ("DefinitionChanged", 4),
        ("SettingsError", 2),
        ("MissingPolicyError", 2),
        ("PluginError", 2),
        ("ContextFieldError", 2),
        ("RunNotFound", 2),
        ("RunPoisoned", 2),
        ("StateCorrupt", 2),
        ("StateUnavailable", 2),
        ("StateStorageFull", 2),
        ("StateBackendBusy", 2),
        ("ValueNotStorable", 1),
        ("StepTimeoutError", 1),
        ("FlujoError", 1),
    ],
)
def test_each_kind_of_error_has_its_code(kind, code):
    assert code_for(getattr(exceptions, kind)("x")) == code


@pytest.mark.parametrize(
    ("codes", "code"),
    [(["V-A04"], 3), (["V-A04", "V-A05"], 3), (["V-A05", "V-S02"], 4), ([], 4)],
)
def test_only_findings_about_imports_alone_are_an_import_error(codes, code):
    findings = tuple(Finding(name, "x") for name in codes)
    assert code_for(exceptions.BlueprintError("x", findings=findings)) == code


def test_help_lists_every_code():
    assert set(EXIT_CODES) == set(ExitCode)
    assert all(f"{code:>3}  {meaning}" in EXIT_CODE_HELP for code, meaning in EXIT_CODES.items())
