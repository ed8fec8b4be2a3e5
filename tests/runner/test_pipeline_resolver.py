"""From a file, a name in a module, a step: the pipeline; and what is said where there is none."""

import pytest

from flujo import Flujo, OpenContext, Pipeline, Step, load_pipeline
from flujo.exceptions import BlueprintError, ConfigurationError, FlujoError
from flujo.infra.config_manager import Settings
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import PipelineResolver

FLOWS = """\
from flujo import Flujo, Pipeline, Step, step
from elsewhere import hidden
shout = Step("shout", str.upper)
both = shout >> Step("twice", lambda text: text * 2)
runner = Flujo(shout)
nothing = None
def plain(text): return text
class Kind: pass
@step
def decorated(text: str) -> str: return text + "!"
"""


@pytest.fixture
def resolver(tmp_path, monkeypatch):
    (tmp_path / "resolved_flows.py").write_text(FLOWS)
    (tmp_path / "elsewhere.py").write_text("def hidden(text): return text\n")
    (tmp_path / "broken_flows.py").write_text("from flujo import Pipeline\nraise KeyError('x')\n")
    (tmp_path / "pipeline.yaml").write_text("steps: [{name: same}]\n")
    monkeypatch.chdir(tmp_path)
    settings = Settings(tmp_path, blueprint_allowed_imports=("resolved_flows", "broken_flows"))
    return PipelineResolver(create_plugin_manager(), settings)


@pytest.mark.parametrize(
    ("target", "output"),
    [
        ("resolved_flows:shout", "X"),
        ("resolved_flows:both", "XX"),
        ("resolved_flows:decorated", "x!"),
        ("pipeline.yaml", "x"),
    ],
)
async def test_a_file_and_a_name_in_a_module_give_a_pipeline_that_runs(resolver, target, output):
    pipeline = resolver.resolve(target)
    assert isinstance(pipeline, Pipeline)
    assert resolver.check(target) == ()
    async with Flujo(pipeline) as flujo:
        assert (await flujo.run("x")).output == output


def test_a_pipeline_is_itself_and_a_step_becomes_one(resolver):
    step = Step("one", str.upper)
    pipeline = Pipeline([step], name="p")
    assert resolver.resolve(pipeline) is pipeline
    assert resolver.resolve(step).name == "one"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nope.yaml", "there is no 'nope.yaml', expected a pipeline file"),
        (".", "'.' is a folder, expected a pipeline file"),
        ("other:name", "module 'other' may not be imported by pipeline files"),
        ("resolved_flows:bothe", "module 'resolved_flows' has no 'bothe'"),
        ("resolved_flows.more:both", "there is no module 'resolved_flows.more'"),
        ("resolved_flows:plain", "'resolved_flows:plain' is a function, expected a pipeline or a step"),
        ("resolved_flows:Kind", "'resolved_flows:Kind' is a class, expected a pipeline or a step"),
        ("resolved_flows:nothing", "'resolved_flows:nothing' is 'builtins:NoneType', expected a pipeline or a step"),
        (
            "resolved_flows:runner",
            "'resolved_flows:runner' is 'flujo.runner.flujo:Flujo', expected a pipeline or a step",
        ),
        ("resolved_flows:hidden", "comes from module 'elsewhere', which pipeline files may not import"),
        ("broken_flows:x", "importing 'broken_flows' raised KeyError: 'x' (broken_flows.py:2)"),
    ],
)
def test_each_way_to_be_wrong_is_told(resolver, target, message):
    with pytest.raises(ConfigurationError) as caught:
        resolver.resolve(target)
    assert message in str(caught.value)
    assert caught.value.suggestion


def test_what_is_wrong_with_a_name_is_a_finding(resolver):
    (finding,) = resolver.check("resolved_flows:bothe")
    assert (finding.code, finding.path, finding.help) == ("V-A04", "resolved_flows:bothe", "did you mean 'both'?")
    (finding,) = resolver.check("resolved_flows:plain")
    assert finding.code == "V-K02"


def test_what_is_wrong_with_a_pipeline_in_a_module_is_found_whole(resolver, tmp_path):
    (tmp_path / "broken_flows.py").write_text(
        "from flujo.exceptions import BlueprintError\nfrom flujo.domain.validation import Finding\n"
        "raise BlueprintError('two', findings=(Finding('V-N01', 'one'), Finding('V-N02', 'other')))\n"
    )
    assert [finding.code for finding in resolver.check("broken_flows:x")] == ["V-N01", "V-N02"]


def test_a_file_that_is_called_like_a_name_in_a_module_is_the_file(resolver, tmp_path):
    (tmp_path / "resolved_flows:both").write_text("steps: 1\n")
    with pytest.raises(FlujoError) as caught:
        resolver.resolve("resolved_flows:both")
    assert isinstance(caught.value, BlueprintError)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with modules of its own, and a folder in it with a file that uses them; elsewhere one stands."""
    flows = tmp_path / "project/flows"
    flows.mkdir(parents=True)
    (tmp_path / "project/flujo.toml").write_text('blueprint_allowed_imports = ["loaded_skills"]\n')
    (tmp_path / "project/loaded_skills.py").write_text("from flujo import Step\nshout = Step('shout', str.upper)\n")
    (flows / "loud.yaml").write_text("steps: [{name: shout, uses: 'loaded_skills:shout'}]\n")
    (tmp_path / "plain.yaml").write_text("steps: [{name: same}]\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_is_loaded_with_the_settings_of_the_project_around_it(project, as_text):
    file = project / "project/flows/loud.yaml"
    pipeline = load_pipeline(str(file) if as_text else file)
    assert Flujo(pipeline, context_model=OpenContext).run_sync("x").output == "X"


def test_a_name_in_a_module_is_loaded_with_the_settings_of_the_working_directory(project, monkeypatch):
    monkeypatch.chdir(project / "project")
    assert Flujo(load_pipeline("loaded_skills:shout")).run_sync("x").output == "X"


@pytest.mark.parametrize("stands", [".", "elsewhere"])
def test_a_file_without_a_project_is_loaded_from_anywhere(project, monkeypatch, stands):
    monkeypatch.chdir(project / stands)
    assert Flujo(load_pipeline(project / "plain.yaml")).run_sync("x").output == "x"


def test_a_file_is_loaded_with_the_kinds_of_the_plugins_that_are_given(project):
    (project / "looped.yaml").write_text("steps: [{name: l, kind: loop, loop: {body: [{name: b}], max_loops: 2}}]\n")
    assert load_pipeline(project / "looped.yaml").steps[0].kind == "loop"
    with pytest.raises(BlueprintError, match="'loop'"):
        load_pipeline(project / "looped.yaml", plugins=create_plugin_manager(discover=False))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "target is of type 'int', expected a path or text"),
        ("nope.yaml", "there is no 'nope.yaml', expected a pipeline file"),
        ("loaded_skills:shout", "module 'loaded_skills' may not be imported by pipeline files"),
    ],
)
def test_what_is_no_pipeline_is_told_by_its_target(project, target, message):
    with pytest.raises(ConfigurationError, match=message):
        load_pipeline(target)


def test_every_mistake_in_a_file_is_told_at_once(project):
    (project / "wrong.yaml").write_text("steps: [{name: a, usess: x}, {name: b, sink_too: y}]\n")
    with pytest.raises(BlueprintError) as caught:
        load_pipeline(project / "wrong.yaml")
    assert len(caught.value.findings) == 2
