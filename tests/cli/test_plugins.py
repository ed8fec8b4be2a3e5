"""`flujo plugins`: what there is, what became of it, who brings what, and the switches that stand before a command."""

import sys
from textwrap import dedent

import pytest

from flujo.plugins import create_plugin_manager
from flujo_cli.app import run_command_line

FIRST = ["flujo-cli", "flujo-policies-builtin", "flujo-state-sqlite"]

SINKS = """
    @hookimpl
    def flujo_register_event_sinks(registrar):
        registrar.sink("bells", "bells:open_bells", summary="ring for each run")

    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("bells.chime", "bells:chime", summary="a text and a bell", side_effects=True)
"""
FASTER = """
    @hookimpl
    def flujo_register_policies(registrar):
        registrar.policy("flujo.domain.kinds:LoopStep", "faster:Loop", override=True)
"""
KIND = """
    @hookimpl
    def flujo_register_step_kinds(registrar):
        registrar.kind("sql", "nowhere:Spec", "nowhere:build", summary="ask a database")
"""
COMMAND = """
    import click

    @click.command()
    def ring():
        click.echo("ding")

    @hookimpl
    def flujo_register_commands(registrar):
        registrar.command("ring", ring, short_help="Ring.")
"""
CHATTY = """
    print("import")

    def chat(file):
        print("rule")
        return []

    @hookimpl
    def flujo_register_lint_rules(registrar):
        print("hook")
        registrar.rule("BELLS-1", chat, summary="none")
"""
BROKEN = "import no_such_module"


def rows(ran):
    """The lines of a table by their first word."""
    return {line.split()[0]: line for line in ran.out.splitlines()[1:]}


@pytest.mark.parametrize("words", [["plugins"], ["plugins", "list"]])
def test_the_plugins_are_listed_with_what_they_add(flujo, fake_dist, words):
    fake_dist("bells", SINKS)
    ran = flujo(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].split() == ["NAME", "VERSION", "API", "STATUS", "SOURCE", "LOAD", "CONTRIBUTES"]
    assert [*rows(ran)] == ["bells", *FIRST]
    assert rows(ran)["bells"].split(maxsplit=7)[:5] == ["bells", "1.0", "1.0", "active", "installed"]
    assert "sinks bells" in rows(ran)["bells"]
    assert "skills bells.chime" in rows(ran)["bells"]
    assert "backends sqlite" in rows(ran)["flujo-state-sqlite"]


def test_what_another_plugin_loses_is_said_of_the_one_that_takes_it(flujo, fake_dist):
    fake_dist("faster", FASTER)
    assert "policies 1 (overrides flujo-policies-builtin: LoopStep)" in rows(flujo("plugins"))["faster"]


def test_a_broken_plugin_is_listed_with_the_reason_and_is_no_failure(flujo, fake_dist):
    fake_dist("bells", BROKEN)
    ran = flujo("plugins")
    assert (ran.code, ran.err) == (0, "")
    assert "import-failed" in rows(ran)["bells"]
    assert "No module named 'no_such_module'" in rows(ran)["bells"]
    assert rows(ran)["bells"].endswith("-> flujo plugins show bells")


def test_with_check_a_broken_plugin_is_a_failure(flujo, fake_dist):
    assert flujo("plugins", "--check").code == 0
    fake_dist("bells", BROKEN)
    assert flujo("plugins", "list", "--check").code == 1


def test_what_two_plugins_claim_is_told_below_with_what_settles_it(flujo, fake_dist):
    fake_dist("db", KIND)
    fake_dist("sql", KIND, version="2.1")
    ran = flujo("plugins", "--check")
    assert ran.code == 1
    (line,) = [line for line in ran.out.splitlines() if line.startswith("conflict: ")]
    assert "db 1.0" in line
    assert "sql 2.1" in line
    assert 'kinds.sql = "db"' in line
    (conflict,) = flujo("plugins", "--json").json["conflicts"]
    assert (conflict["facet"], conflict["key"], conflict["providers"]) == ("kinds", "sql", ["db 1.0", "sql 2.1"])


def test_a_plugin_that_is_switched_off_is_listed_when_all_are_asked_for(flujo, project, fake_dist):
    fake_dist("bells", SINKS)
    (project / "flujo.toml").write_text('[plugins]\ndisable = ["bells"]\n')
    assert [*rows(flujo("plugins"))] == FIRST
    assert "disabled" in rows(flujo("plugins", "--all"))["bells"]


@pytest.mark.parametrize("hook", ["event_sinks", "event-sinks", "flujo_register_event_sinks"])
def test_the_plugins_with_one_hook_are_listed(flujo, fake_dist, hook):
    fake_dist("bells", SINKS)
    assert [*rows(flujo("plugins", "--hook", hook))] == ["bells"]


def test_a_hook_that_there_is_not_is_refused(flujo):
    ran = flujo("plugins", "list", "--hook", "skils")
    assert ran.code == 2
    assert ran.err == "error[FLUJO-701] there is no hook 'skils'\n  help: did you mean 'skills'?\n"


def test_the_loaded_plugins_are_written_as_requirements(flujo, fake_dist):
    fake_dist("bells", SINKS, version="3.1")
    fake_dist("gongs", BROKEN)
    lines = flujo("plugins", "list", "--requirements").out.splitlines()
    assert [line.partition("==")[0] for line in lines] == ["bells", *FIRST]
    assert lines[0] == "bells==3.1"


def test_a_list_is_an_object_too(flujo, fake_dist):
    fake_dist("bells", SINKS)
    told = flujo("plugins", "--json").json
    assert told["schema"] == "flujo.plugins/1"
    (bells,) = [each for each in told["plugins"] if each["dist"] == "bells"]
    assert bells["contributes"] == {"sinks": ["bells"], "skills": ["bells.chime"]}
    assert (bells["status"], bells["error"], bells["api"]) == ("active", None, "1.0")


def test_one_plugin_is_shown_with_everything_that_it_adds(flujo, fake_dist, project):
    fake_dist("bells", SINKS)
    (project / "flujo.toml").write_text("[plugins.settings.bells]\nloud = true\n")
    ran = flujo("plugins", "show", "Bells")
    lines = ran.out.splitlines()
    assert (ran.code, lines[0]) == (0, "bells 1.0: active")
    assert "  from      installed, bells" in lines
    assert "  hooks     flujo_register_event_sinks, flujo_register_skills" in lines
    assert "  setting   loud = True" in lines
    assert "  event sink bells: ring for each run -> bells:open_bells" in lines
    assert "  skill bells.chime: a text and a bell (side effects) -> bells:chime" in lines
    assert any(line.startswith("  file ") and line.endswith("bells.py") for line in lines)


def test_what_may_be_set_for_a_plugin_is_shown(flujo, fake_dist):
    fake_dist("bells", f"FLUJO_PLUGIN_SETTINGS = {{'loud': 'whether all hear it'}}\n{dedent(SINKS)}")
    assert "  takes     loud: whether all hear it" in flujo("plugins", "show", "bells").out.splitlines()
    assert flujo("plugins", "show", "bells", "--json").json["plugin"]["takes"] == {"loud": "whether all hear it"}


def test_secrets_in_what_is_set_for_a_plugin_are_not_shown(flujo, fake_dist, project):
    fake_dist("bells", SINKS)
    (project / "flujo.toml").write_text(
        '[plugins.settings.bells]\napi_key = "hush"\nhosts = ["https://me:hush@here/"]\nroom = {token = "hush", no = 3}'
    )
    told = flujo("plugins", "show", "bells", "--json")
    assert told.json["plugin"]["settings"] == {
        "api_key": "***",
        "hosts": ["https://me:***@here/"],
        "room": {"token": "***", "no": 3},
    }
    assert "hush" not in told.out + flujo("plugins", "show", "bells").out + flujo("config", "show").out


def test_a_thing_that_is_no_text_is_shown_by_its_name(flujo, fake_dist):
    fake_dist("ringer", COMMAND)
    assert "  command ring: Ring. -> click.core:Command" in flujo("plugins", "show", "ringer").out


def test_a_broken_plugin_is_shown_with_its_own_lines_of_the_traceback(flujo, fake_dist):
    fake_dist("bells", BROKEN)
    ran = flujo("plugins", "show", "bells")
    assert (ran.code, ran.err) == (0, "")
    assert "bells 1.0: import-failed\n" in ran.out
    assert "  error     ModuleNotFoundError: No module named 'no_such_module' (import)\n" in ran.out
    assert "import no_such_module" in ran.out
    assert "importlib" not in ran.out


def test_a_distribution_with_several_plugins_is_shown_by_their_whole_names(flujo, fake_dist):
    info = fake_dist("bells", SINKS) / "bells-1.0.dist-info"
    (info / "entry_points.txt").write_text("[flujo.plugins]\nbig = bells\nsmall = nowhere\n")
    ran = flujo("plugins", "show", "bells")
    assert ran.code == 2
    assert "'bells' has several plugins\n  help: name one of bells:big, bells:small" in ran.err
    assert flujo("plugins", "show", "bells:big").code == flujo("plugins", "show", "big").code == 0


def test_of_two_files_of_one_name_each_is_shown_by_its_own(flujo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "belfry.py").write_text("")
    (tmp_path / "flujo.toml").write_text('[plugins]\nlocal = ["a/belfry.py", "b/belfry.py"]\n')

    for name, file in (("belfry", "a/belfry.py"), ("belfry#2", "b/belfry.py")):
        ran = flujo("plugins", "show", name)
        assert (ran.code, file in ran.out) == (0, True)


def test_what_is_shown_is_an_object_too(flujo, fake_dist):
    fake_dist("faster", FASTER)
    told = flujo("plugins", "show", "faster", "--json").json
    assert told["schema"] == "flujo.plugin/1"
    (thing,) = told["plugin"]["things"]
    assert (thing["key"], thing["target"], thing["overrides"]) == ("flujo.domain.kinds:LoopStep", "faster:Loop", True)
    assert told["plugin"]["hooks"] == ["flujo_register_policies"]


def test_a_plugin_that_there_is_not_is_refused(flujo):
    ran = flujo("plugins", "show", "flujo-stat-sqlite")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no plugin 'flujo-stat-sqlite'\n  help: did you mean 'flujo-state-sqlite'?" in ran.err


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("loop", "kind 'loop': flujo-policies-builtin"),
        ("LoopStep", "policy for step type 'flujo.domain.kinds:LoopStep': flujo-policies-builtin"),
        ("flujo:LoopStep", "policy for step type 'flujo.domain.kinds:LoopStep': flujo-policies-builtin"),
        ("flujo.builtins.to_json", "skill 'flujo.builtins.to_json': flujo-policies-builtin"),
        ("sqlite", "state backend 'sqlite': flujo-state-sqlite"),
        ("memory", "state backend 'memory': flujo-core"),
        ("runs list", "command 'runs list': flujo-cli"),
        ("tree", "event sink 'tree': flujo-core"),
        ("kind:map", "kind 'map': flujo-policies-builtin"),
        ("policies:flujo:LoopStep", "policy for step type 'flujo.domain.kinds:LoopStep': flujo-policies-builtin"),
    ],
)
def test_who_brings_something_is_said(flujo, key, line):
    ran = flujo("plugins", "why", key)
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith(line)
    assert "\n  rule      " in ran.out


def test_a_step_type_without_a_policy_of_its_own_has_that_of_its_nearest_base(flujo, project, monkeypatch):
    (project / "mine.py").write_text("from flujo import LoopStep\n\nclass Mine(LoopStep): ...\n")
    monkeypatch.syspath_prepend(project)
    assert flujo("plugins", "why", "mine:Mine").out.startswith("policy for step type 'flujo.domain.kinds:LoopStep'")


def test_what_does_not_count_is_said_with_the_one_that_does(flujo, fake_dist):
    fake_dist("faster", FASTER)
    lines = flujo("plugins", "why", "LoopStep").out.splitlines()
    assert lines[0].endswith(": faster 1.0")
    assert "override" in lines[1]
    assert lines[2].startswith("  shadowed  flujo-policies-builtin ")


def test_nobody_brings_what_two_claim_and_the_line_that_settles_it_is_said(flujo, fake_dist):
    fake_dist("db", KIND)
    fake_dist("sql", KIND)
    ran = flujo("plugins", "why", "sql")
    assert ran.out.startswith("kind 'sql': nobody\n")
    assert '  settle    kinds.sql = "db"' in ran.out
    (answer,) = flujo("plugins", "why", "sql", "--json").json["answers"]
    assert (answer["winner"], answer["shadowed"]) == (None, ["db 1.0", "sql 1.0"])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lop", "no plugin brings 'lop'\n  help: did you mean 'loop'?"),
        ("decimal:Decimal", "no plugin brings 'decimal:Decimal'\n"),
        ("skill:map", "no plugin brings 'skill:map'\n  help: it is no skill; known are flujo.builtins."),
        ("kind:loopp", "no plugin brings 'kind:loopp'\n  help: did you mean 'loop'?"),
        (
            "knd:map",
            "no plugin brings 'knd:map', and no type is there: ModuleNotFoundError: No module named 'knd'\n"
            "  help: did you mean 'map'?",
        ),
        ("x: y", "no plugin brings 'x: y'\n"),
    ],
)
def test_what_nobody_brings_is_refused(flujo, key, message):
    ran = flujo("plugins", "why", key)
    assert ran.code == 2
    assert message in ran.err


def test_the_plugin_that_would_bring_it_is_named(flujo, fake_dist):
    fake_dist("flujo-policy-http", BROKEN)
    err = flujo("plugins", "why", "http").err
    assert err.count("probably comes with flujo-policy-http 1.0, which is not loaded (import-failed: ") == 1


def test_completion_tells_of_no_broken_plugin(flujo_process, fake_dist):
    fake_dist("bells", BROKEN)
    words = {"_FLUJO_COMPLETE": "bash_complete", "COMP_WORDS": "flujo nothing x", "COMP_CWORD": "2"}
    assert flujo_process(env=words).err == ""


def test_flujos_own_plugins_pass_the_checks_for_authors(flujo):
    ran = flujo("plugins", "check")
    assert (ran.code, ran.out.splitlines()) == (0, [f"{dist}: ok" for dist in FIRST])


def test_what_is_wrong_with_a_plugin_is_told_line_by_line(flujo, fake_dist):
    fake_dist("bells", SINKS + "\n    print('here I am')\n")
    ran = flujo("plugins", "check", "bells")
    assert ran.code == 1
    assert all(line.startswith("bells: ") for line in ran.out.splitlines())
    assert "here I am" in ran.out
    assert "bells:open_bells" in ran.out
    (told,) = flujo("plugins", "check", "bells", "--json").json["plugins"]
    assert told["dist"] == "bells"
    assert len(told["problems"]) == len(ran.out.splitlines())


def test_a_command_that_loads_plugins_tells_of_a_broken_one(flujo, fake_dist):
    fake_dist("bells", BROKEN)
    ran = flujo("run", "pipeline.yaml", "--input", "x", "--quiet")
    assert (ran.code, ran.out) == (0, "x\n")
    assert ran.err == (
        "warning: plugin bells 1.0 is not loaded (import-failed: ModuleNotFoundError: No module named 'no_such_module')"
        " (see=flujo plugins show bells)\n"
    )


def test_what_else_there_is_to_say_of_a_plugin_that_works_is_told(flujo, fake_dist):
    fake_dist("bells", f"FLUJO_PLUGIN_API = '1.99'\n{dedent(SINKS)}")
    ran = flujo("run", "pipeline.yaml", "--input", "x", "--quiet")
    assert (ran.code, ran.out) == (0, "x\n")
    assert ran.err.startswith("warning: plugin bells 1.0: ")
    assert "1.99" in ran.err
    assert "  note      " in flujo("plugins", "show", "bells").out


@pytest.mark.parametrize("words", [["--version"], ["--version", "-v"], ["plugins"], ["plugins", "show", "bells"]])
def test_what_is_about_plugins_and_versions_does_not_tell_of_it_beside(flujo, fake_dist, words):
    fake_dist("bells", BROKEN)
    ran = flujo(*words)
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("words", [["--version", "-v"], ["-v", "--version"]])
def test_the_version_in_full_names_the_plugins_that_are_loaded(flujo, fake_dist, words):
    fake_dist("bells", SINKS)
    fake_dist("gongs", BROKEN)
    lines = flujo(*words).out.splitlines()
    assert [line.split()[0] for line in lines] == ["flujo", "bells", *FIRST]
    assert lines[1] == "bells 1.0 (installed)"


def test_verbose_is_for_the_version_alone(flujo):
    ran = flujo("-v", "plugins")
    assert ran.code == 2
    assert "--verbose belongs to --version" in ran.err


def test_without_plugins_flujos_own_stay(flujo, fake_dist):
    fake_dist("bells", SINKS)
    fake_dist("gongs", BROKEN)
    ran = flujo("--no-plugins", "run", "pipeline.yaml", "--input", "x", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "x\n", "")
    assert [*rows(flujo("--no-plugins", "plugins"))] == FIRST


def test_what_a_plugin_prints_while_it_loads_or_checks_is_no_result(flujo, fake_dist, project):
    fake_dist("bells", CHATTY)
    (project / "one.yaml").write_text("steps: [{name: one}]")
    listed, checked = flujo("plugins", "--json"), flujo("validate", "one.yaml", "--format", "json")
    assert "bells" in [each["dist"] for each in listed.json["plugins"]]
    assert checked.json["files"][0]["valid"]
    assert (listed.err.split(), checked.err.split()) == (["import", "hook"], ["hook", "rule"])


def test_a_traceback_shows_control_characters_as_text(flujo, fake_dist):
    fake_dist("bells", r'raise ValueError(f"{chr(27)}[31mred")')
    shown = flujo("plugins", "show", "bells").out
    assert shown.rstrip().endswith("\nValueError: \\x1b[31mred")
    assert "\x1b" not in shown


def test_one_plugin_can_be_left_out_or_let_in(flujo, project, fake_dist):
    fake_dist("bells", SINKS)
    assert [*rows(flujo("-P", "no:bells", "plugins"))] == FIRST
    (project / "flujo.toml").write_text('[plugins]\ndisable = ["bells"]\n')
    assert [*rows(flujo("-P", "bells", "plugins"))] == ["bells", *FIRST]


def test_a_plugin_to_leave_out_that_there_is_not_is_refused(flujo):
    ran = flujo("-P", "no:bels", "plugins")
    assert (ran.code, ran.out) == (2, "")
    assert "'bels'" in ran.err


def test_a_plugins_command_is_found_where_the_switches_let_it(flujo, fake_dist):
    fake_dist("ringer", COMMAND)
    assert flujo("ring").out == "ding\n"
    ran = flujo("--no-plugins", "ring")
    assert ran.code == 2
    assert "there is no command 'ring'" in ran.err


EXPORT = """
    @hookimpl
    def flujo_register_commands(registrar):
        registrar.command("runs export", "no_such_module:export", short_help="Export them.")
        registrar.command("ring", "no_such_module:ring", short_help="Ring.")
"""


def test_help_lists_the_commands_of_plugins_among_flujos_own_and_imports_none(flujo, fake_dist):
    fake_dist("exporter", EXPORT)
    top, below = flujo("--help"), flujo("runs", "--help")
    assert (top.code, top.err, below.code, below.err) == (0, "", 0, "")
    assert "  ring      Ring.\n" in top.out
    assert "  export   Export them.\n" in below.out
    assert "ring" not in flujo("--no-plugins", "--help").out


def test_help_lists_a_command_that_two_plugins_claim(flujo, fake_dist):
    fake_dist("exporter", EXPORT)
    fake_dist("ringer", COMMAND)
    assert "  ring      Ring.\n" in flujo("--help").out


def test_help_is_there_whatever_ails_the_plugins(flujo, fake_dist, monkeypatch):
    fake_dist("bells", BROKEN)
    assert "plugin bells 1.0 is not loaded" in flujo("--help").err
    monkeypatch.setenv("FLUJO_PLUGINS_STRICT", "1")
    ran = flujo("--help")
    assert (ran.code, ran.err.partition(": ")[0]) == (0, "without the commands of plugins")
    assert "  run       Run a pipeline file.\n" in ran.out


def test_plugins_are_listed_even_where_a_problem_or_a_lack_is_an_error(flujo, project, fake_dist, monkeypatch):
    fake_dist("bells", BROKEN)
    monkeypatch.setenv("FLUJO_PLUGINS_STRICT", "1")
    (project / "flujo.toml").write_text('[plugins]\nrequire = ["chimes"]\n')
    assert (flujo("plugins", "list").code, flujo("plugins", "list", "--check").code) == (0, 2)


TOLD = [("plugins", "show", "bells"), ("plugins", "why", "kind:map"), ("plugins", "new", "ring"), ("--version", "-v")]


@pytest.mark.parametrize("words", TOLD)
def test_what_tells_of_plugins_does_so_where_a_problem_or_a_lack_is_an_error(
    flujo, project, fake_dist, monkeypatch, words
):
    fake_dist("bells", BROKEN)
    monkeypatch.setenv("FLUJO_PLUGINS_STRICT", "1")
    (project / "flujo.toml").write_text('[plugins]\nrequire = ["bells"]\n')
    assert flujo("plugins", "list", "--check").code == 2
    assert flujo(*words).code == 0


def test_a_projects_own_plugin_brings_a_command_also_from_elsewhere(flujo, project, tmp_path, monkeypatch):
    (project / "flujo_plugins.py").write_text(
        "import click\nfrom flujo.plugins import hookimpl\n\n@click.command()\ndef ring():\n    click.echo('dong')\n\n"
        "@hookimpl\ndef flujo_register_commands(registrar):\n    registrar.command('ring', ring, short_help='Ring.')\n"
    )
    monkeypatch.chdir(tmp_path)
    assert flujo("-C", "project", "ring").out == "dong\n"


def test_help_lists_what_a_program_finds_among_the_commands(flujo, fake_dist):
    fake_dist("ringer", COMMAND)
    found = {path.partition(" ")[0] for path in create_plugin_manager().contributions.commands}
    lines = flujo("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert "ring" in found
    assert {line.split()[0] for line in lines} == found


def test_a_plugin_to_check_that_is_not_installed_is_refused(flujo):
    ran = flujo("plugins", "check", "flujo-stat-sqlite")
    assert ran.code == 2
    assert "there is no plugin 'flujo-stat-sqlite'\n  help: did you mean 'flujo-state-sqlite'?" in ran.err


LOCAL = """
from flujo.plugins import hookimpl

@hookimpl
def flujo_register_skills(registrar):
    registrar.skill("house." + registrar.settings["word"], str.upper, summary="say it loudly")
"""


@pytest.mark.parametrize("name", ["flujo_plugins", "plugins"])
def test_a_plugin_file_of_the_project_is_checked_with_its_settings(flujo, project, name):
    (project / "flujo_plugins.py").write_text(LOCAL)
    ran = flujo("plugins", "check", name)
    assert (ran.code, ran.out) == (
        1,
        "flujo_plugins: plugin flujo_plugins is not loaded (register-failed: KeyError: 'word')\n",
    )
    (project / "flujo.toml").write_text('[plugins.settings.flujo_plugins]\nword = "shout"\n')
    ran = flujo("plugins", "check", name)
    assert (ran.code, ran.out) == (0, "flujo_plugins: ok\n")


def test_a_plugin_is_shown_and_checked_by_its_short_name_as_switches_take_it(flujo):
    assert flujo("plugins", "show", "policies-builtin").out.startswith("flujo-policies-builtin ")
    assert flujo("plugins", "show", "flujo_cli.plugin").out.startswith("flujo-cli ")
    assert flujo("plugins", "check", "cli").out == "flujo-cli: ok\n"


def test_a_whole_name_means_no_other_plugin_that_is_called_so_in_short(flujo, fake_dist):
    fake_dist("bells", SINKS)
    fake_dist("flujo-bells", KIND)
    assert flujo("plugins", "show", "bells").out.startswith("bells 1.0: active")


def test_who_asks_for_the_name_of_a_plugin_is_told_where_it_is_shown(flujo):
    err = flujo("plugins", "why", "policies-builtin").err
    assert "no plugin brings 'policies-builtin'" in err
    assert "it is a plugin, see `flujo plugins show flujo-policies-builtin`" in err


def test_two_plugins_of_one_distribution_are_told_apart(flujo, fake_dist):
    folder = fake_dist("bells", KIND, modules={"gongs": f"from flujo.plugins import hookimpl\n{dedent(KIND)}"})
    (folder / "bells-1.0.dist-info/entry_points.txt").write_text("[flujo.plugins]\nbig = bells\nsmall = gongs\n")
    lines = flujo("plugins", "why", "sql").out.splitlines()
    assert lines[0] == "kind 'sql': nobody"
    assert lines[2:4] == ["  shadowed  bells 1.0 (bells:big)", "  shadowed  bells 1.0 (bells:small)"]


def test_requirements_are_an_object_too(flujo, fake_dist):
    fake_dist("bells", SINKS, version="3.1")
    told = flujo("plugins", "list", "--requirements", "--json").json
    assert told["schema"] == "flujo.plugins.requirements/1"
    assert [line.partition("==")[0] for line in told["requirements"]] == ["bells", *FIRST]


@pytest.mark.parametrize(("switches", "is_loaded"), [([], True), (["--no-plugins"], False)])
def test_the_processes_of_a_rehearsal_have_the_switches_too(flujo, project, tmp_path, switches, is_loaded):
    mark = tmp_path / "mark"
    hook = "@hookimpl\ndef flujo_register_skills(registrar): ...\n"
    begin = f"from pathlib import Path\nfrom flujo.plugins import hookimpl\nPath({str(mark)!r}).touch()\n"
    (project / "flujo_plugins.py").write_text(begin + hook)
    assert flujo(*switches, "rehearse", "pipeline.yaml", "--input", "x", "--yes").code == 0
    assert mark.exists() is is_loaded


FAULTY = """
    from flujo_policies_builtin.step import FunctionPolicy

    class Faulty(FunctionPolicy):
        async def execute(self, core, frame):
            raise ValueError("no route to acme")

    @hookimpl
    def flujo_register_policies(registrar):
        registrar.policy("flujo.domain.steps:Step", Faulty, override=True)
"""


def test_a_step_that_fails_in_the_policy_of_a_plugin_names_the_plugin(flujo, project, fake_dist):
    fake_dist("flujo-policy-acme", FAULTY, version="0.3.1")
    (project / "pipeline.yaml").write_text("steps: [{name: a}]")

    ran = flujo("run", "--input", "x", "--run-id", "r", "--json")

    assert (ran.code, ran.json["error"]["plugin"]) == (1, "flujo-policy-acme 0.3.1")
    assert "\n  in a step that plugin flujo-policy-acme 0.3.1 runs\n" in ran.err
    assert "ValueError: no route to acme (run by plugin flujo-policy-acme 0.3.1)\n" in flujo("runs", "show", "r").out


@pytest.mark.parametrize("debug", [True, False])
def test_an_exception_that_nobody_expected_names_the_plugins_at_work_and_the_way_without_them(capsys, fake_dist, debug):
    option = 'click.option("--tune", callback=lambda *_: {}["ding"])'
    fake_dist("flujo-ring", COMMAND.replace("def ring():", f"@{option}\n    def ring(tune):"), version="0.3")

    with pytest.raises(KeyError) as caught:
        run_command_line([*(["--debug"] if debug else []), "ring"])
    sys.excepthook(caught.type, caught.value, caught.tb)

    err = capsys.readouterr().err
    assert ("error this is a bug in flujo or in a plugin: KeyError: 'ding' (" in err) is not debug
    assert err.endswith("\n  plugins at work: flujo-ring 0.3; without them: `flujo --no-plugins ...`\n")


UNLUCKY = """
    import click

    @click.command()
    @click.argument("how")
    def ring(how):
        if how == "meant":
            raise click.ClickException("no bell")
        if how == "exit":
            click.get_current_context().exit(3)
        raise RuntimeError("boom")

    @hookimpl
    def flujo_register_commands(registrar):
        registrar.command("ring", ring, short_help="Ring.")

    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("bells.shout", str.upper, summary="shout")
"""


def test_what_a_plugins_command_raises_is_told_as_the_plugins(flujo, fake_dist):
    fake_dist("bells", UNLUCKY)

    ran = flujo("ring", "x")

    assert ran.code == 2
    assert "error[FLUJO-106] command 'ring' of plugin bells 1.0 raised RuntimeError: boom" in ran.err
    assert flujo("ring", "meant").err.startswith("error[FLUJO-701] no bell")
    assert flujo("ring", "exit").code == 3


def test_a_skill_that_is_a_method_of_a_built_in_type_is_shown(flujo, fake_dist):
    fake_dist("bells", UNLUCKY)

    assert "skill bells.shout: shout -> builtins:str.upper" in flujo("plugins", "show", "bells").out


ODD = """
    from flujo import LoopStep

    class Spiral(LoopStep):
        kind = "spiral"

    class Tight(LoopStep):
        pass

    @hookimpl
    def flujo_register_skills(registrar):
        registrar.skill("bells.chime", "bells:chime", summary="a text and a bell")
"""


def test_a_type_of_a_kind_of_its_own_does_not_have_the_policy_of_its_base(flujo, fake_dist):
    fake_dist("bells", ODD)

    assert "policy for step type 'flujo.domain.kinds:LoopStep'" in flujo("plugins", "why", "bells:Tight").out
    assert flujo("plugins", "why", "bells:Spiral").code == 2


def test_a_sort_that_is_switched_off_is_shown_with_what_it_would_bring(flujo, project, fake_dist):
    fake_dist("ringer", COMMAND)
    (project / "flujo.toml").write_text('[plugins]\ndisable = ["ringer:commands"]\n')

    listed, shown = flujo("plugins", "list"), flujo("plugins", "show", "ringer")

    assert "nothing (commands ring switched off by plugins.disable (" in listed.out
    assert "  without   commands ring switched off by plugins.disable (" in shown.out
    assert flujo("plugins", "show", "ringer", "--json").json["plugin"]["dropped"] == {"commands": ["ring"]}
    for words in (("plugins", "why", "command:ring"), ("plugins", "why", "ring"), ("ring",)):
        assert "command 'ring' comes with ringer 1.0, whose commands are switched off by plugins" in flujo(*words).err


def test_a_command_that_is_not_there_is_blamed_on_the_plugin_that_failed(flujo, fake_dist):
    folder = fake_dist("bells", BROKEN)
    with (folder / "bells-1.0.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("\n[flujo.provides]\nmorse = commands\n")

    ran = flujo("morse", "send")

    assert ran.code == 2
    assert "command 'morse' comes with bells 1.0, which is not loaded (import-failed: " in ran.err
