"""The shape of a pipeline file: the document, and the fields that every kind of step has."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, WithJsonSchema

from flujo.domain.step_mistakes import checked_path
from flujo.domain.steps import Effects
from flujo.domain.validation import NAME

__all__ = [
    "NESTED",
    "PLAIN_TYPES",
    "AgentPart",
    "BackoffSpec",
    "CalledStep",
    "ConfigSpec",
    "DocumentSpec",
    "NestedStep",
    "NestedSteps",
    "Spec",
    "StepSpec",
]


#: What plain answers are, by the names that files call them.
PLAIN_TYPES: Mapping[str, type] = {each.__name__: each for each in (str, int, float, bool, list, dict)}

#: What stands in a model's JSON Schema for a step, of whatever kind.
NESTED: Mapping[str, str] = {"format": "flujo-step"}

#: The type of a field that holds one nested step.
NestedStep: TypeAlias = Annotated[Any, WithJsonSchema({**NESTED})]

#: The type of a field that holds nested steps: a list of them, or one.
NestedSteps: TypeAlias = Annotated[Any, WithJsonSchema({"anyOf": [{**NESTED}, {"type": "array", "items": {**NESTED}}]})]

_CALL = {"type": "object", "properties": {"id": {"type": "string"}, "params": {}}, "additionalProperties": False}

#: The type of a field that holds what to call (`module:attr` or a skill's id, or `{id, params}`), or a step.
CalledStep: TypeAlias = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string"}, _CALL, {**NESTED}]})]


class Spec(BaseModel):
    """Any part of a pipeline file: unknown keys are refused, and text is not taken for numbers or switches.

    A field that holds nested steps is declared as `NestedStep` or `NestedSteps` (a list of steps, or one), or a list or
    dict of those. That is `Any` to the loader: the builder checks nested steps by their own kind, and finds their place
    in the file by the very objects that the loader made; editors complete what stands there as steps. A field with
    another name in older files says so by `validation_alias=AliasChoices(name, older)`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class BackoffSpec(Spec):
    """`config.backoff`: the wait between attempts, in seconds."""

    initial_s: float = Field(default=0.0, ge=0, description="Seconds before the first retry")
    factor: float = Field(default=2.0, ge=1, description="Each further wait is the last one times this")
    max_s: float = Field(default=60.0, ge=0, description="The longest wait, in seconds")
    jitter: float = Field(default=0.0, ge=0, le=1, description="The share of the wait that is left to chance")


class ConfigSpec(Spec):
    """`config:` of a step. In a file one retry is the default, as existing pipelines expect."""

    max_retries: int = Field(default=1, ge=0, description="Attempts after the first")
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        validation_alias=AliasChoices("timeout_s", "timeout"),
        description="Seconds that one attempt may take",
    )
    #: Without it there is none: see below.
    backoff: BackoffSpec | None = Field(default=None, description="The wait between attempts")
    #: With `background` the pipeline goes on at once with the step's input, and the end of the run waits for the step.
    execution_mode: Literal["foreground", "background"] = Field(
        default="foreground", description="Whether the pipeline waits for the step"
    )


class StepSpec(Spec):
    """The fields that every kind of step has. A kind's model is a subclass with its own fields."""

    #: Plugins add kinds.
    kind: str = Field(default="step", description="The kind of step; `pipeline` where there are `steps`")
    #: In templates it is `steps.NAME`.
    name: str = Field(
        pattern=f"^{NAME}$",
        validation_alias=AliasChoices("name", "step"),
        description="The step's name, unique among its siblings",
    )
    #: `input:` with nothing behind it is none.
    input: Any = Field(
        default=None, description="Template, or mapping or list with templates; else the previous output"
    )
    config: ConfigSpec = Field(default_factory=ConfigSpec, description="Retries, time and place")
    #: As `scratchpad.answer`: mappings on the way are made.
    sink_to: Annotated[str, AfterValidator(checked_path)] | None = Field(
        default=None, description="Dotted path in the context that gets the output"
    )
    updates_context: bool = Field(default=False, description="Merge a mapping output into the context")
    static_invariants: list[str] = Field(
        default_factory=list, description="Expressions that must hold after this step and each step in it"
    )
    #: One that raises, or returns `false` or a text that says what is wrong, fails the attempt.
    validators: list[str] = Field(
        default_factory=list, description="module:attr of functions of the output that say whether it will do"
    )
    #: It has the same data; its output takes the place of this one's.
    fallback: NestedStep | None = Field(
        default=None, description="The step that runs when this one has failed for good"
    )
    #: `local` is files, `external` services; with `at-most-once` there [never is one](../kinds/step.md#at-most-once),
    #: and `max_retries` is 0. Other than with `none`, the next step waits until the record is safe from the death of
    #: the machine, not only of the process.
    effects: Effects = Field(default="none", description="What a second execution could disturb")
    #: A run that began before is then not resumed with it.
    version: str = Field(default="", description="Raise it when the code means something else than before")
    meta: dict[str, Any] = Field(default_factory=dict, description="Notes; flujo does not read them")


class AgentPart(Spec):
    """One of the document's `agents`."""

    #: Providers come with plugins; the two below are built in. It is also the name in the [price
    #: table](settings.md#prices).
    model: str = Field(description="PROVIDER:NAME, who answers")
    #: A provider without a model has no use for it.
    system_prompt: str = Field(default="", description="What a model is told before it is asked")
    output_schema: dict[str, Any] | str | None = Field(
        default=None,
        description="What answers must fit: a JSON Schema, module:attr of a class, or a plain type such as int",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="The provider's own options")


class DocumentSpec(Spec):
    """The whole file."""

    #: It is not the version of a format.
    version: str | int | float = Field(default="", description="Version of the pipeline; any text, not checked")
    name: str | None = Field(
        default=None, pattern=f"^{NAME}$", description="The pipeline's name; the file's name by default"
    )
    #: See [agents](#agents).
    agents: dict[str, AgentPart] = Field(default_factory=dict, description="Agents by the names that steps use them by")
    #: See [imports](#kind-import).
    imports: dict[str, str] = Field(
        default_factory=dict, description="Pipeline files by the names that steps use them by"
    )
    #: `output` is the step's. One that does not fails the step.
    static_invariants: list[str] = Field(
        default_factory=list, description="Expressions that must hold after every step"
    )
    steps: list[NestedStep] = Field(min_length=1, description="The steps, run one after the other")
