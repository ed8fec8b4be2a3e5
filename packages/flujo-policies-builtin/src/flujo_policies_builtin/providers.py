"""The built-in providers of agents: code of the project, and answers that are written down."""

from typing import Any

from flujo.blueprint.agents import AgentContext, AgentDeclaration
from flujo.exceptions import ConfigurationError
from flujo.infra.scripted import ScriptedAgent, scripted

__all__ = ["function_agent", "scripted_agent"]


def function_agent(declaration: AgentDeclaration, context: AgentContext) -> Any:
    """`function:module:attr`: a function, or an object or class with a method `run`."""
    if declaration.params:
        raise ConfigurationError(
            f"agent {declaration.name!r} has params, but {declaration.model!r} takes the data alone",
            suggestion="bind them in the code",
        )
    return context.resolve(declaration.target)


def scripted_agent(declaration: AgentDeclaration, context: AgentContext) -> ScriptedAgent:
    """`scripted:FILE`: the answers in a file; `params` are for the model in whose place they stand."""
    return scripted(context.path(declaration.target), model=declaration.model)
