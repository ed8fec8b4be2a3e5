"""Which input wins, how it is read, and what is refused."""

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.exceptions import ConfigurationError
from flujo_cli import input as module
from flujo_cli.input import read_context, read_stdin, resolve_input


def never() -> str:
    raise AssertionError("standard input was read")


def piped(data: bytes):
    """A stream with `data` in a pipe, as a shell would give it."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return os.fdopen(reader, encoding="utf-8")


def test_the_flag_beats_the_environment_and_stdin():
    assert resolve_input("flag", "env", never) == "flag"


def test_the_environment_beats_stdin():
    assert resolve_input(None, "env", never) == "env"


def test_an_empty_variable_does_not_count():
    assert resolve_input(None, "", lambda: "piped") == "piped"


def test_an_empty_flag_is_an_empty_input():
    assert resolve_input("", "env", never) == ""


def test_a_dash_is_standard_input_even_beside_the_environment():
    assert resolve_input("-", "env", lambda: "piped") == "piped"


def test_text_that_begins_with_an_at_sign_is_written_with_two():
    assert resolve_input("@@home", None, never) == "@home"


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text != "-" and text[:1] != "@"))
def test_any_other_text_is_taken_as_it_is(text):
    assert resolve_input(text, None, never) == text


def test_a_file_is_read_without_its_last_newline(tmp_path):
    file = tmp_path / "in.txt"
    file.write_bytes("  ä\n b \n\n".encode())
    assert resolve_input(f"@{file}", None, never) == "  ä\n b \n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"\r\n", ""),
        (b"a\r\n", "a"),
        (b"a\r", "a\r"),
        (b" a \n\n", " a \n"),
        ("ñ\u2028日本".encode(), "ñ\u2028日本"),
    ],
)
def test_one_newline_at_the_end_goes_and_all_other_white_space_stays(data, text):
    with piped(data) as stream:
        assert read_stdin(stream) == text


def test_a_file_that_is_not_there_is_refused_with_the_way_to_write_the_text(tmp_path):
    with pytest.raises(ConfigurationError, match="can't be read: No such file or directory") as caught:
        resolve_input("@nobody@example.org", None, never)
    assert caught.value.suggestion == "for text that begins with '@', write '@@nobody@example.org'"


def test_a_context_file_that_is_not_there_is_named_as_such():
    with pytest.raises(ConfigurationError, match="--context-file 'nope' can't be read: No such file") as caught:
        read_context(Path("nope"), None, [])
    assert caught.value.suggestion is None


def test_a_mark_of_the_encoding_is_no_part_of_the_input(tmp_path):
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbf{}\n")
    assert resolve_input(f"@{tmp_path}/in.txt", None, never) == "{}"
    assert read_context(tmp_path / "in.txt", None, []) == {}
    with piped(b"\xef\xbb\xbfx") as stream:
        assert read_stdin(stream) == "x"


def test_text_that_the_locale_could_not_decode_is_utf8():
    undecoded = "é".encode().decode("ascii", "surrogateescape")
    assert resolve_input(undecoded, None, never) == "é"
    assert read_context(None, f'{{"a": "{undecoded}"}}', [f"{undecoded}={undecoded}"]) == {"a": "é", "é": "é"}


@pytest.mark.parametrize("chunks", [[b"", b"late"], [b"early", b"", b", late", b""]])
def test_a_wait_for_standard_input_is_told_once(monkeypatch, chunks):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    reader, writer = os.pipe()
    told: list[str] = []

    def write() -> None:
        for chunk in chunks:
            os.write(writer, chunk)
            time.sleep(0.05)
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, encoding="utf-8") as stream:
        assert read_stdin(stream, waiting=lambda: told.append("waiting")) == b"".join(chunks).decode()
    thread.join()
    assert told == ["waiting"]


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(ConfigurationError, match=r"can't be read: .*null"):
        resolve_input("@a\0b", None, never)


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_closed_stdin_is_an_empty_input(stream):
    if stream == "closed":
        stream = piped(b"")
        stream.close()
    assert read_stdin(stream) == ""


def test_a_terminal_is_never_read():
    master, slave = os.openpty()
    with os.fdopen(slave, encoding="utf-8") as terminal:
        assert read_stdin(terminal) == ""
        with pytest.raises(ConfigurationError, match="standard input is a terminal"):
            read_stdin(terminal, explicit=True)
    os.close(master)


def test_bytes_that_are_not_utf8_are_refused_with_their_offset():
    with piped(b"abc\xffdef") as stream, pytest.raises(ConfigurationError) as caught:
        read_stdin(stream)
    assert str(caught.value) == "standard input is not UTF-8: byte 0xff at offset 3"


def test_a_flag_that_is_not_utf8_is_refused_with_its_offset():
    with pytest.raises(ConfigurationError, match="--input is not UTF-8: byte 0xe9 at offset 3"):
        resolve_input(os.fsdecode(b"\xc3\xa4x\xe9"), None, never)


def test_a_variable_that_is_not_utf8_is_refused():
    with pytest.raises(ConfigurationError, match="FLUJO_INPUT is not UTF-8: byte 0xff at offset 0"):
        resolve_input(None, os.fsdecode(b"\xff"), never)


def test_an_input_over_the_limit_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "INPUT_LIMIT", 3)
    with piped(b"abcd") as stream, pytest.raises(ConfigurationError, match="standard input has more than"):
        read_stdin(stream)
    (tmp_path / "big").write_text("abcd")
    with pytest.raises(ConfigurationError, match="big' has more than") as caught:
        resolve_input(f"@{tmp_path}/big", None, never)
    assert "file's path" in str(caught.value.suggestion)


def test_a_pipe_that_does_not_block_is_waited_for(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write_later() -> None:
        time.sleep(0.05)
        os.write(writer, b"late\n")
        os.close(writer)

    thread = threading.Thread(target=write_later)
    thread.start()
    with os.fdopen(reader, encoding="utf-8") as stream:
        assert read_stdin(stream) == "late"
    thread.join()


def test_a_stdin_that_is_a_folder_is_refused(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)

    class Folder:
        closed = False

        def isatty(self) -> bool:
            return False

        def fileno(self) -> int:
            return descriptor

    with pytest.raises(ConfigurationError, match="standard input can't be read: Is a directory"):
        read_stdin(Folder())
    os.close(descriptor)


def test_context_comes_from_the_file_then_the_data_then_the_pairs(tmp_path):
    file = tmp_path / "context.json"
    file.write_text('{"a": 1, "b": 1, "c": 1}')
    assert read_context(file, '{"b": 2, "c": 2}', ["c=3"]) == {"a": 1, "b": 2, "c": 3}


def test_without_anything_the_context_is_empty():
    assert read_context(None, None, []) == {}


def test_the_value_of_a_pair_is_json_where_it_can_be():
    pairs = ["n=3", 'o={"k": [true]}', "t=plain text", "e=", "q=a=b", "x=NaN", 's="3"']
    assert read_context(None, None, pairs) == {
        "n": 3,
        "o": {"k": [True]},
        "t": "plain text",
        "e": "",
        "q": "a=b",
        "x": "NaN",
        "s": "3",
    }


@pytest.mark.parametrize("pair", ["novalue", "=value", ""])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(ConfigurationError, match="is no key=value pair"):
        read_context(None, None, [pair])


def test_a_pair_that_is_not_utf8_is_refused():
    with pytest.raises(ConfigurationError, match="--context k is not UTF-8: byte 0xff"):
        read_context(None, None, [os.fsdecode(b"k=\xff")])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{nope", "--context-data is not JSON: expecting property name enclosed in double quotes at line 1 column 2"),
        ('{"a": NaN}', "--context-data is not JSON: NaN is no JSON value"),
        ("[" * 100_000, "--context-data is not JSON: "),
        ("[1]", "--context-data is a JSON list, expected an object"),
    ],
)
def test_context_data_must_be_a_json_object(data, message):
    with pytest.raises(ConfigurationError) as caught:
        read_context(None, data, [])
    assert str(caught.value).startswith(message)


def test_a_context_file_that_is_no_json_is_named(tmp_path):
    file = tmp_path / "context.json"
    file.write_text("")
    with pytest.raises(ConfigurationError, match=r"--context-file '.*context.json' is not JSON: expecting value"):
        read_context(file, None, [])
