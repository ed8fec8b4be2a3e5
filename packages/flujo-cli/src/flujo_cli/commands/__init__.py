"""The commands of flujo itself: where each one's code is, and the line that `--help` says of it."""

from typing import NamedTuple

__all__ = ["COMMANDS", "DEFAULTS", "GROUPS", "CommandEntry"]


class CommandEntry(NamedTuple):
    """One command: its words (`runs list`), the `module:attr` of its click command, and one line of help."""

    path: str
    target: str
    short_help: str


def _entry(path: str, short_help: str, module: str = "") -> CommandEntry:
    """A command that is called as its words are, in a module of that name or in `module`."""
    name = path.replace(" ", "_")
    return CommandEntry(path, f"flujo_cli.commands.{module or name}:{name}", short_help)


COMMANDS = (
    _entry("run", "Run a pipeline file."),
    _entry("resume", "Go on with a run that stopped before its end."),
    _entry("inbox", "List what runs wait for people to say."),
    _entry("validate", "Check pipeline files without running anything."),
    _entry("schema", "Write the JSON Schema of pipeline files."),
    _entry("rehearse", "Kill a pipeline everywhere, and compare."),
    _entry("runs list", "List recorded runs, newest first."),
    _entry("runs show", "Show what a run's steps did."),
    _entry("runs trace", "Show where a run's time and money went."),
    _entry("runs approve", "Approve what a run waits for, and go on.", "runs_answer"),
    _entry("runs reject", "Reject what a run waits for, and go on.", "runs_answer"),
    _entry("runs replay", "Make a run again of its record, and compare."),
    _entry("runs diff", "Compare two runs, step by step."),
    _entry("runs rerun", "Begin a new run at a step of another."),
    _entry("runs cancel", "Stop a run."),
    _entry("runs settle", "Say what became of a step that is in doubt."),
    _entry("why", "Say why a step ran, or why it did not."),
    _entry("budget show", "Show limits, and what a run has used."),
    _entry("config show", "Show every setting and where it is from."),
    _entry("where", "Say where the project's files are."),
    _entry("gc", "Forget runs that ended long ago."),
    _entry("db check", "Say what is wrong with the state.", "db"),
    _entry("db migrate", "Bring the state to this version's schema.", "db"),
    _entry("db backup", "Copy the state to a new file.", "db"),
    _entry("plugins list", "List plugins and what each one adds."),
    _entry("plugins show", "Show one plugin: all there is to say."),
    _entry("plugins why", "Say which plugin brings something, and why."),
    _entry("plugins check", "Check plugins as their authors should."),
    _entry("plugins new", "Write a package to begin a plugin with."),
)

#: What is said of the words that stand before others.
GROUPS = {
    "runs": "Look at recorded runs, and decide about them.",
    "budget": "See what runs may use.",
    "config": "See what the project is configured with.",
    "db": "Look after the state.",
    "plugins": "Look at plugins, and begin one; without a further word, list them.",
}

#: What a group's word alone, or with options, stands for; the others show their help.
DEFAULTS = {"plugins": "list"}
