"""Which project a command works in, and what to type to get there again."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from flujo.domain.masking import masked
from flujo.exceptions import ConfigurationError, RunNotFound, SettingsError
from flujo.infra.config_manager import DEFAULT_STATE_URI, Settings, get_config_manager, leave_out_files
from flujo.runner.targets import names_object
from flujo_cli.output import Console, one_line

__all__ = ["Project"]


class Project(NamedTuple):
    """A project's settings, and the folder the user stands in."""

    settings: Settings
    stands: Path

    @classmethod
    def around(cls, pipeline: Path, *, stands: Path, state: str | None = None) -> "Project":
        """The project of a pipeline file: the nearest one upwards from its folder, else the working directory.

        That of `module:name` is the working directory's. Raises `ConfigurationError` for a file that is in neither, or
        doesn't exist.
        """
        if names_object(pipeline):
            return cls.here(stands=stands, state=state)
        if not pipeline.is_file():
            raise ConfigurationError(
                f"no pipeline file {str(pipeline)!r}",
                suggestion="give the path of a pipeline file, or module:name for a pipeline made in Python, or run the "
                "command where there is a pipeline.yaml",
            )
        folder = pipeline.resolve().parent
        manager = get_config_manager(folder)
        if not manager.declared:
            manager = get_config_manager()
            if not folder.is_relative_to(manager.root):
                raise ConfigurationError(
                    f"pipeline {str(pipeline)!r} is outside the project {str(manager.root)!r}",
                    suggestion=f"run `flujo -C {shlex.quote(str(folder))} ...`, or put a flujo.toml beside the file",
                )
        return cls(manager.settings(state_uri=state), stands)

    @classmethod
    def here(cls, *, stands: Path, state: str | None = None) -> "Project":
        """The project of the working directory: the nearest one upwards, else the directory itself."""
        return cls(get_config_manager().settings(state_uri=state), stands)

    @classmethod
    def looked_at(cls, *, stands: Path, state: str | None = None) -> "Project":
        """As `here`, for who runs nothing: where the state is named, settings that can't be are told and left out."""
        try:
            return cls.here(stands=stands, state=state)
        except SettingsError as error:
            leave_out_files()
            project = cls.here(stands=stands, state=state)  # it was no file, if this raises as well
            if project.settings.origins["state_uri"] == "default":
                told = [error.suggestion, f"meanwhile give the state's address, as in --state {DEFAULT_STATE_URI}"]
                error.suggestion = "; ".join(filter(None, told))
                raise
            Console().note(f"warning: no settings of files are heeded: {one_line(masked(str(error)))}")
            return project

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.settings.root

    @property
    def keeps_runs(self) -> bool:
        """Whether another process finds this project's runs again."""
        return not self.settings.state_uri.startswith("memory:")

    @property
    def state(self) -> str:
        """Where this project's runs are recorded, for people: without a password."""
        return f"{masked(self.settings.state_uri)!r} of {str(self.root)!r}"

    def source(self, pipeline: Path) -> str:
        """How a run's record names the pipeline: a file relative to the root, or `module:name`."""
        return str(pipeline) if names_object(pipeline) else pipeline.resolve().relative_to(self.root).as_posix()

    def file_of(self, source: str, run_id: str) -> Path:
        """What a run's record names: `module:name`, or a file. Raises `ConfigurationError` when that isn't there."""
        if names_object(source):
            return Path(source)
        file = (self.root / source).resolve()
        if not source or not file.is_relative_to(self.root):
            raise ConfigurationError(
                f"run {run_id!r} was not started from a pipeline file of this project",
                suggestion="say by --pipeline which one is its: module:name of one made in Python, or a file; or go on "
                "with it in the program that started it",
            )
        if not file.is_file():
            raise ConfigurationError(
                f"run {run_id!r} was started from {source!r}, which is no longer in {str(self.root)!r}",
                suggestion="put the file back as it was to go on with the run",
            )
        return file

    @staticmethod
    def naming(source: str, given: Path | None) -> tuple[str, ...]:
        """The options that name the pipeline of a run again: as it was given, or left open where no record says it."""
        if given is not None:
            return ("--pipeline", str(given))
        return () if source else ("--pipeline", "MODULE:NAME")

    def looked_in(self, error: RunNotFound) -> RunNotFound:
        """The error with the state in which the run was looked for, said once."""
        if error.suggestion and error.suggestion.endswith(self.state):
            return error
        advice = f"{error.suggestion}; " if error.suggestion else ""
        return RunNotFound(error.message, suggestion=f"{advice}the state is {self.state}")

    def typed(self, text: str, *words: str) -> str:
        """The text with the command of these words, where that is in it, as it is to be typed here."""
        return text.replace(shlex.join(["flujo", *words]), self.command(*words))

    def command(self, *words: str) -> str:
        """A flujo command that does the same wherever this one was started; a password in its state is not shown."""
        elsewhere = get_config_manager(self.stands).root != self.root
        folder = ["-C", os.path.relpath(self.root, self.stands)] if elsewhere else []
        given = self.settings.origins["state_uri"] in ("--state", "FLUJO_STATE_URI")
        state = ["--state", masked(self.settings.state_uri)] if given else []
        return shlex.join(["flujo", *folder, *words, *state])
