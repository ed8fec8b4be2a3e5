"""The agents that a file declares: each made by its provider, when the first step uses it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flujo.blueprint.diagnostics import brief
from flujo.blueprint.document import Document
from flujo.blueprint.kinds import AgentProviderSpec
from flujo.blueprint.schema import PLAIN_TYPES, AgentPart
from flujo.domain.agents import Agent
from flujo.domain.scope import NOTHING
from flujo.domain.suggest import did_you_mean
from flujo.domain.validation import Location
from flujo.exceptions import ConfigurationError, MissingAgentError

if TYPE_CHECKING:
    from flujo.domain.agent_step import AgentStep

__all__ = ["PREFIX", "AgentContext", "AgentDeclaration", "Agents", "DeclaredAgent", "nobody", "unasked"]

#: What a step's reference begins with that names a declared agent.
PREFIX = "agents."


class AgentDeclaration(NamedTuple):
    """What a file says of an agent: `model` is "prefix:target", `params` are the provider's own options.

    `output` is what answers must fit: a class, a JSON Schema as a mapping, or None.
    """

    name: str
    model: str = ""
    system_prompt: str = ""
    output: Any = None
    params: Mapping[str, Any] = NOTHING

    @property
    def target(self) -> str:
        """The part of `model` that is the provider's."""
        return self.model.partition(":")[2]


class AgentContext(NamedTuple):
    """What a provider may ask for. Both raise `ConfigurationError` for what isn't there or may not be.

    `resolve` gives what `module:attr` names where the project allows it; `unasked` while a file is only checked.
    `path` finds a file of the project, given relative to the pipeline file.
    """

    resolve: Callable[[str], Any]
    path: Callable[[str], Path]


class DeclaredAgent(NamedTuple):
    """A declared agent, ready to be asked."""

    declaration: AgentDeclaration
    agent: Agent

    def step(self, **options: Any) -> "AgentStep[Any, Any]":
        """A step that asks it; `options` are those of every step. Raises `ConfigurationError`."""
        from flujo.domain.agent_step import AgentStep  # noqa: PLC0415 - most files have no agents

        said = self.declaration
        return AgentStep(
            run=self.agent,
            output=said.output,
            model=said.model,
            agent=said.name,
            system_prompt=said.system_prompt,
            settings=said.params,
            **options,
        )


class Agents:
    """The agents of one document. `note` does something, and gives None when it notes what was wrong, at a place and
    with the plugin whose fault it may be."""

    def __init__(
        self,
        document: Document,
        providers: Mapping[str, AgentProviderSpec],
        context: AgentContext,
        note: Callable[[Callable[[], Any], Location | None, str], Any],
        blame: Callable[[str, str], str],
    ) -> None:
        self._document = document
        self._providers = providers
        self._context = context
        self._note = note
        self._blame = blame
        self._declared: Mapping[str, AgentPart | None] = {}
        self._made: dict[str, DeclaredAgent] = {}

    def declare(self, specs: Mapping[str, AgentPart]) -> None:
        """Take note of the document's agents; of one that is wrong nothing but the name is known."""
        raw = self._document.data.get("agents")
        self._declared = {**(dict.fromkeys(raw) if isinstance(raw, dict) else {}), **specs}

    def find(self, reference: str) -> DeclaredAgent | None:
        """The agent that a step's reference names: "agents.NAME", or NAME alone where that is declared; else None.

        Of an agent that is wrong something is handed out that is never asked. Raises `MissingAgentError`.
        """
        name = reference.removeprefix(PREFIX)
        if name not in self._declared:
            if name == reference:
                return None
            advice = did_you_mean(name, self._declared, what="this file declares")
            if not self._declared:
                advice = f"say at the top of the file who it is: agents: {{{name}: {{model: ...}}}}"
            raise MissingAgentError(f"there is no agent {brief(name)}", suggestion=advice, code="V-A06")
        if name not in self._made:
            spec = self._declared[name]
            self._made[name] = (spec and self._make(name, spec)) or nobody(name)
        return self._made[name]

    def _make(self, name: str, spec: AgentPart) -> DeclaredAgent | None:
        raw = self._document.data["agents"][name]
        output = self._note(lambda: self._output(spec), self._document.value(raw, "output_schema"), "")
        said = AgentDeclaration(name, spec.model, spec.system_prompt, output, spec.params)
        at = self._document.value(raw, "model")
        provider = self._note(lambda: self._provider(said), at, "")
        agent = provider and self._note(lambda: self._agent(said, provider), at, provider.provider)
        return None if agent is None else DeclaredAgent(said, agent)

    def _output(self, spec: AgentPart) -> Any:
        """What answers must fit; text names a class. Raises `ConfigurationError` for what is no schema."""
        declared: Any = spec.output_schema
        if isinstance(declared, str):
            declared = PLAIN_TYPES.get(declared) or self._context.resolve(declared)
        if declared is None or declared is unasked:
            return None
        from flujo.infra.schemas import OutputSchema  # noqa: PLC0415 - it loads pydantic's schemas, and most answers are text

        OutputSchema.of(declared)
        return declared

    def _agent(self, said: AgentDeclaration, spec: AgentProviderSpec) -> Agent:
        made: Agent = spec.factory(said, self._context)
        if not callable(getattr(made, "run", made)):
            message = f"agent provider {spec.prefix!r} of plugin {spec.provider} gave {made!r}"
            raise ConfigurationError(f"{message}, expected an object with 'run', or a function", code="V-A05")
        return made

    def _provider(self, said: AgentDeclaration) -> AgentProviderSpec:
        prefix, colon, _ = said.model.partition(":")
        if colon and prefix in self._providers:
            return self._providers[prefix]
        what = f"no installed plugin provides {prefix!r} agents" if colon else f"{brief(said.model)} names no provider"
        known = did_you_mean(prefix, self._providers, what="installed providers are")
        absent = self._blame("agents", prefix) or "or install a plugin that provides it"
        advice = f"{known}; {absent}" if colon else f"write PROVIDER:NAME; {known}"
        raise MissingAgentError(what, suggestion=advice, code="V-A07")


async def unasked(data: Any = None, /) -> Any:
    """Stand in for what is wrong, or isn't imported; never asked."""


def nobody(name: str) -> DeclaredAgent:
    """What goes on in the place of an agent that is wrong or isn't there."""
    return DeclaredAgent(AgentDeclaration(name), unasked)
