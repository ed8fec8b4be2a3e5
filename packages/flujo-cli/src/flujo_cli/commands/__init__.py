"""The commands of flujo itself: where each one's code is, and the line that `--help` says of it."""

from typing import NamedTuple

__all__ = ["COMMANDS", "DEFAULTS", "GROUPS", "CommandEntry"]


class CommandEntry(NamedTuple):
    """One command: its words (`runs list`), the `module:attr` of its click command, and one line of help."""

    path: str
    target: str
    short_help: str


COMMANDS = (
    CommandEntry("run", "flujo_cli.commands.run:run", "Run a pipeline file."),
    CommandEntry("resume", "flujo_cli.commands.resume:resume", "Go on with a run that stopped before its end."),
    CommandEntry("inbox", "flujo_cli.commands.inbox:inbox", "List what runs wait for people to say."),
    CommandEntry("validate", "flujo_cli.commands.validate:validate", "Check pipeline files without running anything."),
    CommandEntry("rehearse", "flujo_cli.commands.rehearse:rehearse", "Kill a pipeline everywhere, and compare."),
    CommandEntry("runs list", "flujo_cli.commands.runs_list:runs_list", "List recorded runs, newest first."),
    CommandEntry("runs show", "flujo_cli.commands.runs_show:runs_show", "Show what a run's steps did."),
    CommandEntry("runs trace", "flujo_cli.commands.runs_trace:runs_trace", "Show where a run's time and money went."),
    CommandEntry(
        "runs approve", "flujo_cli.commands.runs_answer:runs_approve", "Approve what a run waits for, and go on."
    ),
    CommandEntry(
        "runs reject", "flujo_cli.commands.runs_answer:runs_reject", "Reject what a run waits for, and go on."
    ),
    CommandEntry(
        "runs replay", "flujo_cli.commands.runs_replay:runs_replay", "Make a run again of its record, and compare."
    ),
    CommandEntry("runs diff", "flujo_cli.commands.runs_diff:runs_diff", "Compare two runs, step by step."),
    CommandEntry("runs rerun", "flujo_cli.commands.runs_rerun:runs_rerun", "Begin a new run at a step of another."),
    CommandEntry("runs cancel", "flujo_cli.commands.runs_cancel:runs_cancel", "Stop a run."),
    CommandEntry(
        "runs settle", "flujo_cli.commands.runs_settle:runs_settle", "Say what became of a step that is in doubt."
    ),
    CommandEntry("why", "flujo_cli.commands.why:why", "Say why a step ran, or why it did not."),
    CommandEntry("budget show", "flujo_cli.commands.budget_show:budget_show", "Show limits, and what a run has used."),
    CommandEntry(
        "config show", "flujo_cli.commands.config_show:config_show", "Show every setting and where it is from."
    ),
    CommandEntry("where", "flujo_cli.commands.where:where", "Say where the project's files are."),
    CommandEntry("gc", "flujo_cli.commands.gc:gc", "Forget runs that ended long ago."),
    CommandEntry("db check", "flujo_cli.commands.db:db_check", "Say what is wrong with the state."),
    CommandEntry("db migrate", "flujo_cli.commands.db:db_migrate", "Bring the state to this version's schema."),
    CommandEntry("db backup", "flujo_cli.commands.db:db_backup", "Copy the state to a new file."),
    CommandEntry(
        "plugins list", "flujo_cli.commands.plugins_list:plugins_list", "List plugins and what each one adds."
    ),
    CommandEntry(
        "plugins show", "flujo_cli.commands.plugins_show:plugins_show", "Show one plugin: all there is to say."
    ),
    CommandEntry(
        "plugins why", "flujo_cli.commands.plugins_why:plugins_why", "Say which plugin brings something, and why."
    ),
    CommandEntry(
        "plugins check", "flujo_cli.commands.plugins_check:plugins_check", "Check plugins as their authors should."
    ),
    CommandEntry(
        "plugins new", "flujo_cli.commands.plugins_new:plugins_new", "Write a package to begin a plugin with."
    ),
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
