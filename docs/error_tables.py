"""The tables of the codes of errors and findings. What to do about each is written here, by its code."""

from inspect import getdoc

from docs.sources import table

from flujo import exceptions
from flujo.domain.validation import Finding
from flujo.exceptions import FlujoError
from flujo_cli.exit_codes import ExitCode, code_for, code_of
from flujo_cli.streams import CommandError, OutputError

__all__ = ["error_codes"]

#: What to do about an error, by its class's code.
ADVICE = {
    "FLUJO-000": "Read the message.",
    "FLUJO-100": "Read the message: it names the package, argument or file.",
    "FLUJO-101": "Correct the setting at the file and line that is named.",
    "FLUJO-102": "Give the model a price in `[pricing]`, or say `unpriced`.",
    "FLUJO-103": "Correct the name, or declare the agent.",
    "FLUJO-104": "Install the package that runs this kind of step.",
    "FLUJO-105": "Name one of the two in the settings, or uninstall one.",
    "FLUJO-106": "See `flujo plugins`; update or uninstall the plugin.",
    "FLUJO-200": "See the step that is named, then `flujo resume`.",
    "FLUJO-201": "Go on with a higher limit: the command is told.",
    "FLUJO-202": "Look at the answer and at the schema; allow another attempt.",
    "FLUJO-203": "Look at the last attempt's error.",
    "FLUJO-204": "Raise `timeout_s`, or let the step do less at once.",
    "FLUJO-205": "Put the pipeline back as it was, or begin a new run.",
    "FLUJO-206": "Look at the background step's error.",
    "FLUJO-207": "Find out whether it took effect, then `flujo runs settle`.",
    "FLUJO-300": "Nothing: the run obeys it.",
    "FLUJO-301": "Answer: `flujo inbox`, `flujo resume RUN --answer`.",
    "FLUJO-302": "Nothing: a step ended the run on purpose.",
    "FLUJO-303": "Break the circle of redirects.",
    "FLUJO-304": "Break the circle, or shorten the chain.",
    "FLUJO-400": "Look at the field that is named.",
    "FLUJO-401": "Correct the name or the value of the field.",
    "FLUJO-402": "Make the two context models fit.",
    "FLUJO-403": "Keep only values in the context that can be copied.",
    "FLUJO-404": "Let one of the branches write it, or choose a `merge_strategy`.",
    "FLUJO-405": "Change a context only through what the step is handed.",
    "FLUJO-406": "Look at the provider that keeps the field.",
    "FLUJO-500": "Correct what is named.",
    "FLUJO-501": "Change one of the two steps, or put one between them.",
    "FLUJO-502": "Correct the template; `default(...)` answers what may be absent.",
    "FLUJO-503": "`flujo validate FILE` shows every finding with its place.",
    "FLUJO-504": "Correct the value, or the schema.",
    "FLUJO-600": "Read the advice: the record itself is intact.",
    "FLUJO-601": "`flujo runs list` shows the runs of a state.",
    "FLUJO-602": "Wait for that process, or take the run over: `resume(run, force=True)`, `--force`.",
    "FLUJO-603": "`flujo runs show` says where the run stands.",
    "FLUJO-604": "Answer again: every problem, or what is still open, is listed.",
    "FLUJO-605": "Hand on plain data, or a class that an annotation names.",
    "FLUJO-606": "Write the data to a file, and hand on its path.",
    "FLUJO-607": "Make room, then resume.",
    "FLUJO-608": "Wait, or end the process that holds the lock; then resume.",
    "FLUJO-609": "`flujo db check`; else restore a backup.",
    "FLUJO-610": "Correct the path, the permission or the state's address.",
    "FLUJO-611": "See [changed pipelines](command-line.md#changed-pipelines).",
    "FLUJO-612": "Name the run by its id or its key, or take another key.",
    "FLUJO-613": "Find out what kills the process, then `flujo resume --force`.",
    "FLUJO-700": "The result is recorded: `flujo runs show RUN`.",
    "FLUJO-701": "The help says how the command is written.",
}

#: What a finding means and what to do about it, by its code.
FINDINGS = {
    "V-Y01": ("The file can't be read.", "Correct the path or the file's permission."),
    "V-Y02": ("The text is no YAML.", "Correct the line that is shown: mostly its indentation, a quote or a bracket."),
    "V-Y03": (
        "The file isn't UTF-8 text, or holds control characters.",
        "Save the file as UTF-8, without control characters.",
    ),
    "V-Y04": ("The file is larger or deeper than any pipeline.", "Split the pipeline: let it import others."),
    "V-Y05": ("A mapping has one key twice.", "Drop one of both, or give it another name."),
    "V-Y06": ("YAML tags are not allowed.", "Write the value without `!tag`."),
    "V-Y07": ("An alias names no anchor, or itself.", "Correct the name behind `*`, or put the `&anchor` before it."),
    "V-Y08": (
        "A key is not text, or '<<' merges what is no mapping.",
        "Put quotes around the key, or let `<<` merge a mapping.",
    ),
    "V-Y09": ("The file holds more than one document.", "Put each pipeline into a file of its own."),
    "V-Y10": ("A number is out of range.", "Write a number in range, or a text in quotes."),
    "V-S01": ("A key is missing.", "Add the key."),
    "V-S02": ("A key is unknown.", "Correct the key: the nearest known one is named."),
    "V-S03": ("A value is of the wrong shape.", "Write a value of the shape that is told."),
    "V-S04": ("Two keys say the same.", "Drop one of both."),
    "V-K01": (
        "No installed plugin has this kind of step.",
        "Correct the kind, or install the package that has it: `flujo plugins` lists them.",
    ),
    "V-K02": ("A step can't be made as the file describes it.", "Change what the message names."),
    "V-A01": ("No such skill.", "Correct the skill's id, or write `module:name`."),
    "V-A02": (
        "A module may not be imported by pipeline files.",
        "Add the module to `blueprint_allowed_imports`, or move the code into one that is there.",
    ),
    "V-A03": ("The text is no reference to a skill.", "Write a skill's id or `module:name`."),
    "V-A04": ("A module, or a name in it, does not exist.", "Correct the name, or write the function."),
    "V-A05": (
        "The project's code, or a plugin's skill, failed while it was loaded.",
        "Mend the code at the line that is named; install what the plugin needs.",
    ),
    "V-A06": (
        "A step names an agent that the file does not declare.",
        "Correct the name, or declare the agent under `agents`.",
    ),
    "V-A07": (
        "No installed plugin provides such agents.",
        "Correct the prefix of `model`, or install the plugin that provides it.",
    ),
    "V-A08": ("An agent can't be made as the file describes it.", "Correct the agent's declaration."),
    "V-I01": (
        "A step names an import that the file does not declare.",
        "Correct the name, or declare it under `imports`.",
    ),
    "V-I02": (
        "The file of an import isn't there, or lies outside the project.",
        "Correct the path: it starts at the file's own folder and stays in the project.",
    ),
    "V-I03": ("Files import one another in a circle.", "Break the circle that is shown."),
    "V-L01": ("A rule of a plugin failed: a warning.", "Tell the plugin's author, or switch the plugin off."),
    "V-N01": (
        "A name has characters that names can't have.",
        "Use letters, digits, `_`, `.` and `-`, a letter or `_` first.",
    ),
    "V-N02": ("Two steps of one sequence have the same name.", "Rename one of both."),
    "V-T01": (
        "A step's output does not fit the next step's input.",
        "Change one of the two steps, or put one between them.",
    ),
    "V-T02": ("A template can't be understood.", "Correct the template: see [templates](templates.md)."),
    "V-T03": (
        "A template reads the output of a step that doesn't stand before its own.",
        "Read a step that stands before, or correct the name.",
    ),
    "V-T04": ("A template reads the output of a step that runs only later.", "Move the step, or read another."),
    "V-T05": (
        "A template's name is nearly one that every template has.",
        "Correct the name, or write `context.` before it.",
    ),
}

#: Findings that are warnings, whatever they are about.
WARNINGS = ("V-L01",)

#: What the status of a run says, where an error is not what ended the command.
BY_STATUS = {exceptions.UsageLimitExceededError: ExitCode.BUDGET, exceptions.PausedException: ExitCode.WAITING}


def error_codes() -> dict[str, str]:
    """The tables of all errors by their codes, and of all findings."""
    classes = [getattr(exceptions, name) for name in exceptions.__all__] + [OutputError, CommandError]
    errors = sorted(classes, key=lambda each: each.default_code)
    assert [each.default_code for each in errors] == list(ADVICE), "each error has its advice, in the codes' order"
    return {
        "errors": table(
            "error code | class | exit code | means | what to do",
            {each.default_code: (f"`{each.__name__}`", *_said(each), ADVICE[each.default_code]) for each in errors},
        ),
        "findings": table(
            "code | exit code | means | what to do", {code: (_ends(code), *said) for code, said in FINDINGS.items()}
        ),
    }


def _said(error: type[FlujoError]) -> tuple[str, str]:
    """The exit code of a command that ends with `error`, and what it means."""
    code = BY_STATUS.get(error) or code_for(error(""))
    return str(int(code)), " ".join((getdoc(error) or "").partition("\n\n")[0].split())


def _ends(code: str) -> str:
    """The exit code of a command for a file in which nothing else is found."""
    return str(int(code_of([Finding(code, "", severity="warning" if code in WARNINGS else "error")])))
