"""Standard streams that can't be written: nothing is lost by it but what would have stood there."""

import os
import threading

import pytest

from flujo_cli.streams import OutputError, guarded_stream


@pytest.fixture
def pipe():
    """A pipe as (reader, writer)."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def full():
    """A descriptor that nothing more goes into."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("vital", [True, False])
def test_what_is_written_arrives_and_the_descriptor_stays_open(pipe, vital):
    with guarded_stream(pipe[1], "latin-1", vital=vital) as stream:
        stream.write("ñ日\n")
    assert os.read(pipe[0], 100) == b"\xf1\\u65e5\n"
    os.write(pipe[1], b"x")


def test_a_full_disk_is_an_error_the_first_time_and_only_then(full):
    stream = guarded_stream(full, vital=True)
    stream.write("too much")
    with pytest.raises(OutputError, match="could not be written to stdout: No space left on device"):
        stream.flush()
    stream.write("and more")
    stream.close()


def test_where_nothing_is_vital_a_full_disk_is_quiet(full):
    with guarded_stream(full, vital=False) as stream:
        stream.write("a\nb\n")


def test_a_reader_that_goes_away_is_quiet():
    reader, writer = os.pipe()
    os.close(reader)
    with guarded_stream(writer, vital=True) as stream:
        stream.write("nobody reads this")
    os.close(writer)


def test_a_pipe_that_does_not_block_is_waited_for(pipe):
    os.set_blocking(pipe[1], False)
    text = "x" * 1_000_000
    read: list[bytes] = []

    def read_all() -> None:
        while sum(map(len, read)) < len(text):
            read.append(os.read(pipe[0], 65536))

    thread = threading.Thread(target=read_all)
    with guarded_stream(pipe[1], vital=True) as stream:
        timer = threading.Timer(0.05, thread.start)
        timer.start()
        stream.write(text)
    timer.join()
    thread.join()
    assert b"".join(read).decode() == text


NOISY = """\
import os
import sys

def noisy(data):
    print("printed")
    print("err", file=sys.stderr)
    return data

def shut(data):
    os.close(1)
    return data

def hush(data):
    sys.stderr.close()
    return data
"""


@pytest.fixture(autouse=True)
def pipelines(project) -> None:
    """A pipeline for each function of `NOISY`, named after it."""
    (project / "skills" / "noisy.py").write_text(NOISY)
    for name in ("noisy", "shut", "hush"):
        text = f'version: "0.1"\nsteps:\n  - {{ name: a, uses: "skills.noisy:{name}" }}\n'
        (project / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_result_that_can_not_be_written_is_recorded_and_the_way_to_it_is_told(flujo_process, form):
    ran = flujo_process(f"flujo run --input x --run-id r1 {form} -q > /dev/full", shell=True)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error[FLUJO-700] the result could not be written to stdout: No space left on device; "
        "it is recorded: flujo runs show r1\n"
    )


@pytest.mark.parametrize("args", ["runs list --json", "--help", "--version", "run --state memory: -q"])
def test_other_words_that_can_not_be_written_are_told_without_advice(flujo_process, args):
    ran = flujo_process(f"flujo {args} > /dev/full", shell=True)
    assert ran.code == 2
    assert ran.err == "error[FLUJO-700] the result could not be written to stdout: No space left on device\n"


@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(("args", "code", "out"), [("noisy.yaml", 0, "x\n"), ("nope.yaml", 2, "")])
def test_a_stderr_that_can_not_be_written_changes_nothing(flujo_process, closed, args, code, out):
    ran = flujo_process(f"flujo run {args} --input x {closed}", shell=True)
    assert (ran.code, ran.out) == (code, out)


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_stdout_that_was_never_open_can_not_be_written(flujo_process, form):
    ran = flujo_process(f"flujo run --input x --run-id r1 {form} -q <&- >&-", shell=True)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error[FLUJO-700] the result could not be written to stdout: Bad file descriptor; "
        "it is recorded: flujo runs show r1\n"
    )
    assert flujo_process("flujo runs list >&-", shell=True).code == 2


def test_a_step_that_closes_stdout_loses_the_output_and_nothing_else(flujo_process):
    ran = flujo_process("run", "shut.yaml", "--run-id", "r1", "-q")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "error[FLUJO-700] the result could not be written to stdout: Bad file descriptor; "
        "it is recorded: flujo runs show r1"
    ]


def test_a_step_that_closes_stderr_loses_the_words_and_nothing_else(flujo_process):
    ran = flujo_process("run", "hush.yaml", "--input", "x")
    assert (ran.code, ran.out, ran.err) == (0, "x\n", "")
