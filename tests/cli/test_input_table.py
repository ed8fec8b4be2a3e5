"""Every way to give a run its input, through the installed command and real pipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("flujo")
QUIET = ("run", "pipeline.yaml", "--state", "memory:", "-q")


@pytest.mark.parametrize(
    ("args", "env", "stdin", "out"),
    [
        ((), {}, b"piped\n", "piped\n"),
        (("--input", "x"), {}, b"piped", "x\n"),
        (("--input", "-"), {"FLUJO_INPUT": "env"}, b"piped", "piped\n"),
        ((), {"FLUJO_INPUT": "env"}, b"piped", "env\n"),
        (("--input", "flag"), {"FLUJO_INPUT": "env"}, b"piped", "flag\n"),
        ((), {}, b"", "\n"),
        ((), {}, "one\n  two: ñ 日本 🎉\n\n".encode(), "one\n  two: ñ 日本 🎉\n\n"),
        (("--no-stdin",), {}, b"piped", "\n"),
        (("--input", "@pipeline.toml"), {}, b"", "# text\n"),
    ],
    ids=["pipe", "flag", "dash", "env", "flag-env-pipe", "empty", "lines-utf8", "no-stdin", "file"],
)
def test_the_input_that_wins_is_the_output(flujo_process, project, args, env, stdin, out):
    (project / "pipeline.toml").write_text("# text\n")
    ran = flujo_process(*QUIET, *args, env=env, input=stdin)
    assert (ran.code, ran.out, ran.err) == (0, out, "")


def test_words_of_another_locale_are_utf8(flujo_process):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    ran = flujo_process(*QUIET, "--input", "é", env=env)
    assert (ran.code, ran.out, ran.err) == (0, "é\n", "")


@pytest.mark.parametrize(("flag", "advice"), [([], b"; --no-stdin leaves it"), (["--input", "-"], b"")])
def test_a_wait_for_standard_input_is_told(project, flag, advice):
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([COMMAND, *QUIET, *flag], **streams) as process:
        assert process.stderr.readline() == b"reading the input from standard input" + advice + b"\n"
        out, err = process.communicate(b"late")
    assert (process.returncode, out, err) == (0, b"late\n", b"")


def test_five_megabytes_go_through_whole(flujo_process):
    data = ("0123456789abcde\n" * (5 * 65536)).encode()
    ran = flujo_process(*QUIET, input=data)
    assert (ran.code, ran.out == data.decode(), ran.err) == (0, True, "")


def test_undecodable_input_is_a_clear_error(flujo_process):
    ran = flujo_process(*QUIET, input=b"good\xfe\xffbad")
    assert (ran.code, ran.out) == (2, "")
    assert "standard input is not UTF-8: byte 0xfe at offset 4" in ran.err


def test_a_closed_stdin_is_an_empty_input(project):
    command = f"exec '{COMMAND}' {' '.join(QUIET)} <&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")


def test_a_pipe_that_never_ends_does_not_hold_up_a_run_that_has_its_input(flujo_process):
    reader, writer = os.pipe()
    try:
        ran = flujo_process(*QUIET, "--input", "x", stdin=reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert (ran.code, ran.out) == (0, "x\n")


def test_a_terminal_is_not_read(flujo_process):
    master, slave = os.openpty()
    os.write(master, b"typed ahead\n")
    try:
        ran = flujo_process(*QUIET, stdin=slave)
    finally:
        os.close(slave)
        os.close(master)
    assert (ran.code, ran.out) == (0, "\n")


def test_a_reader_that_goes_away_is_quiet(project):
    command = f"printf x | '{COMMAND}' run --state memory: | true; '{COMMAND}' plugins | true"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr
