"""A plugin before it is loaded, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIRST_PARTY", "NOUNS", "Candidate", "Phase", "PluginRecord", "PluginStatus", "Source"]

#: Where a plugin is from: a distribution, or its author's working copy of one; a file of the project; a program.
Source: TypeAlias = Literal["installed", "editable", "local", "explicit"]

#: How far a plugin came: what it did, or was asked, when it failed; empty for one that did not.
Phase: TypeAlias = Literal["", "switches", "import", "api", "hooks", "register", "commands"]

#: The distributions of this project: those that stay when third parties are switched off.
FIRST_PARTY = frozenset({"flujo-cli", "flujo-core", "flujo-policies-builtin", "flujo-state-sqlite"})

#: Every sort of contribution, in the singular.
NOUNS = {
    "policies": "policy for step type",
    "kinds": "kind",
    "skills": "skill",
    "agents": "agent provider",
    "backends": "state backend",
    "state_providers": "state provider",
    "sinks": "event sink",
    "commands": "command",
    "lint_rules": "lint rule",
    "pricing": "pricing for",
}


class PluginStatus(StrEnum):
    """What became of a plugin.

    `vetoed` wants something that is flujo's own; `shadowed` works, but another plugin beats everything it offers.
    """

    ACTIVE = "active"
    DISABLED = "disabled"
    IMPORT_FAILED = "import-failed"
    INCOMPATIBLE = "incompatible"
    REJECTED = "rejected"
    REGISTER_FAILED = "register-failed"
    SHADOWED = "shadowed"
    VETOED = "vetoed"


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A plugin: `name` is unique in its manager; `dist` and `version` are what users know it by.

    `provides` is what its distribution says that it brings, known without importing it: sorts of contribution by key.
    """

    name: str
    dist: str
    version: str
    source: Source
    target: str
    provides: "Mapping[str, str]" = field(default_factory=dict, kw_only=True)

    @property
    def provider(self) -> str:
        """The plugin in a message: distribution and version."""
        return f"{self.dist} {self.version}".rstrip()

    @property
    def is_installed(self) -> bool:
        """Whether it is of a distribution."""
        return self.source in ("installed", "editable")

    @property
    def is_first_party(self) -> bool:
        """Whether it is of an installed distribution of this project: a file may be called as it likes."""
        return self.is_installed and self.dist in FIRST_PARTY


@dataclass(frozen=True, slots=True)
class Candidate(_Plugin):
    """A plugin before it is loaded. `announced` is the version of the contract that its distribution names, or ""."""

    load: Callable[[], object] = field(compare=False)
    announced: str = ""


@dataclass(frozen=True, slots=True)
class PluginRecord(_Plugin):
    """One plugin and what became of it.

    `error` is one line, empty for a plugin that is loaded; `phase` is how far it came, `traceback` where it failed, in
    its own code only, and `suggestion` what may help. `file` is where its module is, `load_ms` how many milliseconds
    importing it took (None: it was not), `api` the version of the contract it was written for, `note` a line about
    one that is loaded, `takes` what each setting means that it says it has, by name. `contributes` lists the keys it
    registered, by what they are (the fields of `Contributions`); `shadowed` those of them that another plugin beats,
    and `overrides` those that it has in place of another. `dropped` is what it registered beside, of sorts that are
    switched off.
    """

    status: PluginStatus
    error: str = ""
    contributes: "Mapping[str, tuple[str, ...]]" = field(default_factory=dict)
    phase: Phase = ""
    traceback: str = ""
    suggestion: str = ""
    file: str = ""
    load_ms: float | None = None
    api: str = ""
    note: str = ""
    takes: "Mapping[str, str]" = field(default_factory=dict)
    shadowed: "Mapping[str, tuple[str, ...]]" = field(default_factory=dict)
    overrides: "Mapping[str, tuple[str, ...]]" = field(default_factory=dict)
    dropped: "Mapping[str, tuple[str, ...]]" = field(default_factory=dict)

    @property
    def loaded(self) -> bool:
        """Whether it works, though another plugin may beat it."""
        return self.status in (PluginStatus.ACTIVE, PluginStatus.SHADOWED)

    @property
    def problem(self) -> str:
        """The record of a plugin that is not loaded, as one line."""
        return f"plugin {self.provider} is not loaded ({self.status.value}: {self.error})"
