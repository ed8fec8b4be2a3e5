"""The hooks: what a plugin may contribute. Each is called once, when a plugin manager is made.

Every hook is a plain function with exactly one parameter, `registrar`. What it raises discards everything that its
plugin registered, and becomes the plugin's record; no other plugin notices. Wherever a thing is asked for, a
plugin may give the thing itself or the text "module:attr", which is imported at its first use.
"""

from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias, TypeVar, overload

    from flujo.plugins import registrars as given

__all__ = [
    "API_1",
    "PROJECT",
    "flujo_register_agents",
    "flujo_register_commands",
    "flujo_register_event_sinks",
    "flujo_register_lint_rules",
    "flujo_register_policies",
    "flujo_register_pricing",
    "flujo_register_skills",
    "flujo_register_state_backends",
    "flujo_register_state_providers",
    "flujo_register_step_kinds",
    "hookimpl",
    "hookspec",
]

#: The version of this contract. A plugin module may say `FLUJO_PLUGIN_API = API_1`; without it, 1.0 is taken.
API_1 = "1.0"

PROJECT = "flujo"

if TYPE_CHECKING:  # what a type checker compares each hook with: it can't know that a name has one registrar only
    _R = TypeVar("_R", contravariant=True)

    class _Function(Protocol[_R]):
        def __call__(self, registrar: _R) -> None: ...

    class _Method(Protocol[_R]):
        def __call__(here, self: Any, registrar: _R) -> None: ...  # noqa: N805 - `self` is the plugin

    class _ClassMethod(Protocol[_R]):
        def __call__(here, cls: Any, registrar: _R) -> None: ...  # noqa: N805 - as above

    _Hook: TypeAlias = _Function[_R] | _Method[_R] | _ClassMethod[_R]
    _H = TypeVar(
        "_H",
        bound=_Hook[given.AgentRegistrar]
        | _Hook[given.CommandRegistrar]
        | _Hook[given.EventSinkRegistrar]
        | _Hook[given.LintRegistrar]
        | _Hook[given.PolicyRegistrar]
        | _Hook[given.PricingRegistrar]
        | _Hook[given.SkillRegistrar]
        | _Hook[given.StateBackendRegistrar]
        | _Hook[given.StateProviderRegistrar]
        | _Hook[given.StepKindRegistrar],
    )

    class _Marker(Protocol):
        @overload
        def __call__(self, function: _H, /) -> _H: ...
        @overload
        def __call__(
            self, *, optionalhook: bool = ..., tryfirst: bool = ..., trylast: bool = ..., specname: str | None = ...
        ) -> Callable[[_H], _H]: ...


hookspec = HookspecMarker(PROJECT)
hookimpl: "_Marker" = HookimplMarker(PROJECT)


@hookspec
def flujo_register_policies(registrar: "given.PolicyRegistrar") -> None:
    """Say which policy runs which type of step.

    A policy is made when a pipeline first needs it, and looks at each step of its type before any runs. What it raises
    while it runs one is the failure of that attempt.

    Example:
        @hookimpl
        def flujo_register_policies(registrar):
            registrar.policy("my_plugin.steps:HttpStep", "my_plugin.policies:HttpPolicy")
    """


@hookspec
def flujo_register_step_kinds(registrar: "given.StepKindRegistrar") -> None:
    """Say which kinds of step a pipeline file may name.

    The model checks a step, and the builder makes it, while a file is read and nothing runs. A `FlujoError` that the
    builder raises is a finding at the step.

    Example:
        @hookimpl
        def flujo_register_step_kinds(registrar):
            registrar.kind(
                "http", "my_plugin.kinds:HttpSpec", "my_plugin.kinds:build_http", summary="one request to a web service"
            )
    """


@hookspec
def flujo_register_skills(registrar: "given.SkillRegistrar") -> None:
    """Name callables that pipeline files may use without an entry in the list of allowed imports.

    A skill is imported when a file that names it is validated or loaded, and never for another. One that can't be
    imported is a finding at the step that names it; what it raises is the failure of that attempt of the step.

    Example:
        @hookimpl
        def flujo_register_skills(registrar):
            registrar.skill("my_plugin.fetch", "my_plugin.skills:fetch", summary="fetch a page", side_effects=True)
    """


@hookspec
def flujo_register_agents(registrar: "given.AgentRegistrar") -> None:
    """Say who makes the agents of pipeline files, by what their `model` begins with.

    The provider makes each agent of a file once, when the file is loaded to be run. A `FlujoError` that it raises is a
    finding at the agent; what the agent raises is the failure of that attempt of the step.

    Example:
        @hookimpl
        def flujo_register_agents(registrar):
            registrar.provider("acme", "my_plugin.agents:make_agent")
    """


@hookspec
def flujo_register_state_backends(registrar: "given.StateBackendRegistrar") -> None:
    """Say which state backend opens URLs of a scheme.

    It is opened when a state is first needed; what it raises then reaches who asked for the state. A record that it
    can't write ends the work on the run, which can be resumed.

    Example:
        @hookimpl
        def flujo_register_state_backends(registrar):
            registrar.backend("redis", "my_plugin.state:open_redis")
    """


@hookspec
def flujo_register_state_providers(registrar: "given.StateProviderRegistrar") -> None:
    """Name external state that fields of contexts may refer to.

    A provider is made at its first use, before the run begins. A run whose fields it can't load does not begin, one
    whose fields it can't save has failed.

    Example:
        @hookimpl
        def flujo_register_state_providers(registrar):
            registrar.provider("profiles", "my_plugin.profiles:open_profiles")
    """


@hookspec
def flujo_register_event_sinks(registrar: "given.EventSinkRegistrar") -> None:
    """Name listeners to the events of runs. `factory(settings, root)` gives an object with `handle(event)`.

    A sink is made for each `Flujo` that asks for it. One that raises is detached and told of once; the run goes on.

    Example:
        @hookimpl
        def flujo_register_event_sinks(registrar):
            registrar.sink("chat", "my_plugin.sinks:open_chat", summary="tell a chat room of runs that fail")
    """


@hookspec
def flujo_register_commands(registrar: "given.CommandRegistrar") -> None:
    """Add commands to the command line; a command's module is imported when the command is called.

    The lists of commands show its short help without importing anything. One that can't be imported is an error where
    it is called.

    Example:
        @hookimpl
        def flujo_register_commands(registrar):
            registrar.command("http ping", "my_plugin.commands:ping", short_help="Ask a web service how it is.")
    """


@hookspec
def flujo_register_lint_rules(registrar: "given.LintRegistrar") -> None:
    """Check pipelines for what only you know to be wrong. A rule that raises is a warning, and stops no other.

    Rules are asked when a file is validated and whenever it is loaded, and nothing runs. A note that a step makes has
    the place of a value in the file as its `location`; of another one it may be left out: it then stands where the step
    of its `path` does, or at the file's first line.

    Example:
        @hookimpl
        def flujo_register_lint_rules(registrar):
            registrar.rule("HTTP-101", "my_plugin.rules:literal_secrets", summary="a secret stands in the file")
    """


@hookspec
def flujo_register_pricing(registrar: "given.PricingRegistrar") -> None:
    """Say what calls of models cost, where the project has no price of its own.

    It is asked for each call of such a model, and for its estimate. What it raises is the failure of the step, which is
    not tried again.

    Example:
        @hookimpl
        def flujo_register_pricing(registrar):
            registrar.pricing("acme", "my_plugin.prices:price")
    """
