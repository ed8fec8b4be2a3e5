"""`kind: http` in pipeline files."""

from typing import Any, Literal

from pydantic import Field

from flujo.plugins import BuildContext, StepSpec
from flujo_policy_http.step import HttpStep

__all__ = ["HttpSpec", "build_http"]


class HttpSpec(StepSpec):
    """A step of kind `http`."""

    url: str = Field(min_length=1, description="Template of where the request goes")
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="GET", description="What is asked"
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Headers by name; their values are templates")
    secret_headers: dict[str, str] = Field(
        default_factory=dict, description="Headers with ${NAME} of environment variables that the settings allow"
    )
    query: dict[str, Any] = Field(default_factory=dict, description="What stands behind ? in the url, quoted")
    body: Any = Field(default=None, description="What is sent: a text as it is, a mapping or list as JSON")
    expect: list[int] = Field(default_factory=list, description="Status codes that will do; 200 to 299 by default")
    answer: Literal["json", "text"] = Field(default="json", description="What the output is made of")
    output_schema: dict[str, Any] | str | None = Field(
        default=None, description="What the output has to be: a JSON Schema, or module:attr of a type"
    )
    max_bytes: int = Field(default=1_048_576, ge=1, description="How long an answer may be")
    max_redirects: int = Field(default=3, ge=0, description="How many redirects are followed")


def build_http(spec: HttpSpec, context: BuildContext) -> HttpStep:
    """Make the step of a validated `spec`."""
    own = {name: getattr(spec, name) for name in HttpSpec.model_fields.keys() - StepSpec.model_fields.keys()}
    if isinstance(spec.output_schema, str):
        own["output_schema"] = context.resolve(spec.output_schema)
    return HttpStep(**context.common(spec), **own)
