"""What every lint rule has to keep, as tests to subclass."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flujo.blueprint.lint import LintedFile, lint, steps_of
from flujo.domain.steps import Pipeline, Step
from flujo.domain.validation import Finding
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import LintRuleSpec, PluginManager, PluginOptions, create_plugin_manager
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo.testing.conformance import Conformance

__all__ = ["LintRuleConformance"]

#: The code of the warning that a rule has failed.
_FAILED = "V-L01"


class LintRuleConformance(Conformance):
    """Tests of the lint rule `code`: subclass it as `Test...`.

    `clean` and `faulty` are texts of pipeline files, without and with what the rule finds. The rule is looked for in
    the plugins that are installed, and in `plugins`: modules, classes or objects with hooks.
    `settings` are the plugins' own tables, by distribution.
    """

    code: ClassVar[str]
    clean: ClassVar[str]
    faulty: ClassVar[str]
    plugins: ClassVar[Sequence[object]] = ()
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def _manager(self) -> PluginManager:
        return create_plugin_manager(*self.plugins, options=PluginOptions(settings=self.settings))

    def _rule(self) -> LintRuleSpec:
        rules = self._manager().contributions.lint_rules
        assert self.code in rules, f"no plugin has a lint rule {self.code!r}"
        return rules[self.code]

    def _findings(self, text: str, folder: Path) -> list[Finding]:
        """What the rule says of a file with this text, and that it has failed, if it has."""
        file = folder / "pipeline.yaml"
        file.write_text(text, encoding="utf-8")
        found = PipelineResolver(self._manager(), get_config_manager(folder).settings()).check(file)
        return [each for each in found if each.code == self.code or self._is_failure(each)]

    def _is_failure(self, finding: Finding) -> bool:
        return finding.code == _FAILED and repr(self.code) in finding.message

    def test_rule_says_what_it_is_for(self) -> None:
        """It is registered under its code, with a summary and a severity."""
        rule = self._rule()
        assert (rule.code, rule.severity in ("error", "warning")) == (self.code, True)
        assert rule.summary.strip()

    def test_nothing_is_said_of_a_clean_pipeline(self, tmp_path: Path) -> None:
        """Whoever does nothing wrong hears nothing."""
        assert self._findings(self.clean, tmp_path) == []

    def test_what_is_wrong_is_said(self, tmp_path: Path) -> None:
        """A finding has a message."""
        found = self._findings(self.faulty, tmp_path)
        assert {each.code for each in found} == {self.code}
        assert all(each.message.strip() for each in found)

    def test_asked_again_it_says_the_same(self, tmp_path: Path) -> None:
        """What is found depends on the pipeline alone."""
        assert self._findings(self.faulty, tmp_path) == self._findings(self.faulty, tmp_path)

    def test_a_pipeline_made_in_python_does_no_harm(self) -> None:
        """One has no file: no data, no text of its steps, no places."""
        pipeline = Pipeline([Step("one"), Pipeline([Step("two")], name="more")], name="made")
        for steps in ((), tuple(steps_of(pipeline))):
            found = list(lint(LintedFile("", {}, steps), {self.code: self._rule()}))
            assert [each.message for each in found if self._is_failure(each)] == []
