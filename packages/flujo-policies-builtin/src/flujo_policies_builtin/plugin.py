"""What this package contributes; nothing of it is imported before it is used."""

from flujo.plugins import API_1, AgentRegistrar, PolicyRegistrar, SkillRegistrar, StepKindRegistrar, hookimpl

__all__ = [
    "FLUJO_PLUGIN_API",
    "flujo_register_agents",
    "flujo_register_policies",
    "flujo_register_skills",
    "flujo_register_step_kinds",
]

FLUJO_PLUGIN_API = API_1

_HERE = "flujo_policies_builtin"

#: Every skill: its name under `flujo.builtins.`, its module here, whether it changes the world, what it does.
_SKILLS = (
    ("stringify", "values", False, "the input as text"),
    ("passthrough", "values", False, "the input as it is"),
    ("to_json", "values", False, "the input as JSON text"),
    ("from_json", "values", False, "the value that JSON text stands for"),
    ("context_get", "context", False, "read a path in the context"),
    ("context_set", "context", False, "set a path in the context"),
    ("context_merge", "context", False, "merge a mapping into a path in the context"),
    ("read_text", "files", False, "the text of a file in the project"),
    ("read_csv", "files", False, "the rows of a CSV file, as mappings by the header's names"),
    ("read_jsonl", "files", False, "the values of a file with one JSON value a line"),
    ("write_text", "files", True, "write text to a file in the project, whole or not at all"),
)


#: Every kind made of other steps: its step type and the policy that runs it.
_POLICIES = (
    ("ConditionalStep", "conditional:ConditionalPolicy"),
    ("DynamicParallelRouterStep", "router:RouterPolicy"),
    ("LoopStep", "loop:LoopPolicy"),
    ("MapStep", "map:MapPolicy"),
    ("ParallelStep", "parallel:ParallelPolicy"),
)

#: Every such kind in files: its name, its module with the schema and the builder, what it does.
_KINDS = (
    ("agentic_loop", "agentic_loop", "AgenticLoop", "let a planner say what is done next, until it is done"),
    ("cache", "cache", "Cache", "hand out what the same steps came to before"),
    ("conditional", "conditional", "Conditional", "run the branch that a condition names"),
    ("switch", "conditional", "Conditional", "another name of conditional"),
    ("dynamic_router", "router", "Router", "run the branches that an agent names, side by side"),
    ("hitl", "hitl", "Hitl", "ask a person and wait for the answer"),
    ("import", "imports", "Import", "run the pipeline of another file"),
    ("loop", "loop", "Loop", "run steps again until a test holds"),
    ("map", "map", "Map", "run steps for every item of a list"),
    ("parallel", "parallel", "Parallel", "run branches side by side"),
    ("state_machine", "state_machine", "StateMachine", "run one state after another until the last"),
    ("StateMachine", "state_machine", "StateMachine", "another name of state_machine"),
)


@hookimpl
def flujo_register_policies(registrar: PolicyRegistrar) -> None:
    """Run steps and sequences."""
    registrar.policy("flujo.domain.steps:Step", f"{_HERE}.step:FunctionPolicy")
    registrar.policy("flujo.domain.steps:Pipeline", f"{_HERE}.sequence:SequencePolicy")
    registrar.policy("flujo.domain.agent_step:AgentStep", f"{_HERE}.agent:AgentPolicy")
    registrar.policy("flujo.domain.cached:CacheStep", f"{_HERE}.cache:CachePolicy")
    registrar.policy("flujo.domain.imports:ImportStep", f"{_HERE}.imports:ImportPolicy")
    registrar.policy("flujo.domain.human:HumanInTheLoopStep", f"{_HERE}.hitl:HumanPolicy")
    registrar.policy("flujo.domain.agentic_loop:AgenticLoopStep", f"{_HERE}.agentic_loop:AgenticLoopPolicy")
    registrar.policy("flujo.domain.state_machine:StateMachineStep", f"{_HERE}.state_machine:StateMachinePolicy")
    for step, policy in _POLICIES:
        registrar.policy(f"flujo.domain.kinds:{step}", f"{_HERE}.{policy}")


@hookimpl
def flujo_register_step_kinds(registrar: StepKindRegistrar) -> None:
    """Let files name steps and sequences."""
    registrar.kind(
        "step", f"{_HERE}.step:CallSpec", f"{_HERE}.step:build_step", summary="one call of a function, skill or agent"
    )
    registrar.kind(
        "pipeline",
        f"{_HERE}.sequence:SequenceSpec",
        f"{_HERE}.sequence:build_sequence",
        summary="steps that run one after the other",
    )
    for name, module, word, summary in _KINDS:
        spec, build = f"{_HERE}.{module}:{word}Spec", f"{_HERE}.{module}:build_{word.lower()}"
        registrar.kind(name, spec, build, summary=summary)


@hookimpl
def flujo_register_skills(registrar: SkillRegistrar) -> None:
    """Name the built-in skills."""
    for name, module, side_effects, summary in _SKILLS:
        target = f"{_HERE}.skills.{module}:{name}"
        registrar.skill(f"flujo.builtins.{name}", target, summary=summary, side_effects=side_effects)


@hookimpl
def flujo_register_agents(registrar: AgentRegistrar) -> None:
    """Provide agents that need no network."""
    for prefix in ("function", "scripted"):
        registrar.provider(prefix, f"{_HERE}.providers:{prefix}_agent")
