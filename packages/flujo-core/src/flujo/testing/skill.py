"""What every skill has to keep, as tests to subclass."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from flujo.blueprint.kinds import SkillSpec
from flujo.domain.context import OpenContext
from flujo.domain.outcomes import RunStatus
from flujo.domain.steps import Step
from flujo.infra.codec import JsonCodec
from flujo.plugins import PluginManager, PluginOptions, create_plugin_manager
from flujo.plugins.discovery import load_target
from flujo.runner.flujo import Flujo
from flujo.testing.conformance import Conformance

__all__ = ["SkillConformance"]


class SkillConformance(Conformance):
    """Tests of the skill `id`: subclass it as `Test...`.

    `examples` are inputs, each with the output that is expected of it; there is one at least. They run with `params`,
    in a run whose context begins with `context`, in a project with the `files`, texts by their paths. The skill is
    looked for in the plugins that are installed, and in `plugins`: modules, classes or objects with hooks, which have
    their own tables of `settings`, by distribution. Most tests are coroutines, for pytest-asyncio or anyio in their
    automatic modes.
    """

    id: ClassVar[str]
    examples: ClassVar[Sequence[tuple[Any, Any]]]
    params: ClassVar[Mapping[str, Any]] = {}
    context: ClassVar[Mapping[str, Any]] = {}
    files: ClassVar[Mapping[str, str]] = {}
    plugins: ClassVar[Sequence[object]] = ()
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def _manager(self) -> PluginManager:
        return create_plugin_manager(*self.plugins, options=PluginOptions(settings=self.settings))

    def _skill(self) -> SkillSpec:
        skills = self._manager().contributions.skills
        assert self.id in skills, f"no plugin has a skill {self.id!r}"
        return skills[self.id]

    def _step(self) -> Step[Any, Any]:
        skill = self._skill()
        return Step("skill", load_target(skill.target, skill.provider), params=self.params)

    async def _outputs(self, folder: Path) -> list[Any]:
        """What the skill makes of every example."""
        for path, text in self.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        outputs = []
        settings: dict[str, Any] = {"context_model": OpenContext, "initial_context_data": self.context, "root": folder}
        async with Flujo(self._step(), plugins=self._manager(), **settings) as flujo:
            for data, _ in self.examples:
                result = await flujo.run(data)
                assert (result.status, result.error) == (RunStatus.COMPLETED, None)
                outputs.append(result.output)
        return outputs

    def test_skill_says_what_it_is_for(self) -> None:
        """It is registered under its id, with a summary."""
        skill = self._skill()
        assert skill.id == self.id
        assert skill.summary.strip()

    def test_skill_can_be_a_step(self) -> None:
        """It can be imported, and called with the data of a step."""
        assert self._step().call is not None

    async def test_examples_come_out_as_expected(self, tmp_path: Path) -> None:
        """Each input gives its output."""
        assert await self._outputs(tmp_path) == [expected for _, expected in self.examples]

    async def test_input_stays_as_it_was(self, tmp_path: Path) -> None:
        """The data of a step may be that of others, too."""
        before = copy.deepcopy([data for data, _ in self.examples])
        await self._outputs(tmp_path)
        assert [data for data, _ in self.examples] == before

    async def test_output_can_be_recorded(self, tmp_path: Path) -> None:
        """It is written down, and read back as it was; classes of its own stand in the annotation of its output."""
        codec = JsonCodec([self._step().output_type])
        for output in await self._outputs(tmp_path):
            assert codec.decode(codec.encode(output, where="output"), where="output") == output

    async def test_the_same_comes_to_the_same(self, tmp_path: Path) -> None:
        """A skill without side effects may run as often as it takes."""
        if self._skill().side_effects:
            pytest.skip("the skill says that it has side effects")
        assert await self._outputs(tmp_path) == await self._outputs(tmp_path)
