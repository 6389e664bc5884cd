"""The history on disk: round trips, crashes, and files that are no good."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.errors import HarnessError, UsageError
from conformance.history import events as e
from conformance.history.file import MAX_LINE_BYTES, HistoryHeader, HistoryWriter, read_history

HEADER = HistoryHeader(
    seed=7,
    command="durable-ws certify --seed 7",
    versions={"durable-ws": "0.1.0", "RabbitMQ": "3.10.8"},
    case="delivery/steady",
    namespace="k3x9",
    contract={"schema": 1, "tab": {"headers": {"durable": "true"}}},
    broker={"provider": "external"},
    scenario={"seed": 7, "steps": []},
)


def write(path: Path, *events: tuple[type[e.Event], dict[str, Any]]) -> list[e.Event]:
    """Write a history. Returns its events."""
    with HistoryWriter(path, HEADER, keep=True) as writer:
        for event_type, fields in events:
            writer.record(event_type, **fields)
    return writer.events


def closed(count: int) -> list[tuple[type[e.Event], dict[str, Any]]]:
    """That many small events."""
    return [(e.TabClosed, {"tab": f"t{number}"}) for number in range(count)]


# --- round trips ---------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if hint is Any:
        return _json
    if get_origin(hint) is dict:
        return st.dictionaries(values(get_args(hint)[0]), values(get_args(hint)[1]), max_size=3)
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if hint is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if get_origin(hint) in (None, tuple) or not get_args(hint):
        return st.from_type(hint)
    if all(isinstance(arg, str) for arg in get_args(hint)):
        return st.sampled_from(get_args(hint))
    return st.one_of([values(arg) for arg in get_args(hint)])


def fields_of(event_type: type[e.Event]) -> st.SearchStrategy[dict[str, Any]]:
    """Values for all of an event's fields but its number and time."""
    hints = get_type_hints(event_type)
    names = [field.name for field in dataclasses.fields(event_type) if field.name not in ("index", "time_ns")]
    return st.fixed_dictionaries({name: values(hints[name]) for name in names})


@settings(deadline=None)
@given(st.data())
def test_every_event_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """All types, any text, any JSON in the open fields."""
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    wanted = data.draw(st.lists(st.sampled_from(list(e.EVENT_TYPES.values())), max_size=5))
    written = write(path, *[(event_type, data.draw(fields_of(event_type))) for event_type in wanted])
    history = read_history(path)
    assert list(history) == written
    assert history.header == HEADER
    assert history.torn is None


def test_the_lines_are_json_with_the_type_first(tmp_path: Path) -> None:
    """What any other program can read."""
    write(tmp_path / "h.jsonl", *closed(1))
    first, second = (tmp_path / "h.jsonl").read_text().splitlines()
    assert next(iter(json.loads(first))) == "type"
    assert {"type": "header", "format": "durable-ws-history", "version": 1, "seed": 7}.items() <= json.loads(
        first
    ).items()
    assert list(json.loads(second)) == ["type", "index", "time_ns", "tab"]


def test_a_history_can_be_read_twice(tmp_path: Path) -> None:
    """Each iteration begins at the first event."""
    written = write(tmp_path / "h.jsonl", *closed(3))
    history = read_history(tmp_path / "h.jsonl")
    assert list(history) == list(history) == written


# --- the writer ----------------------------------------------------------------------------------


def test_many_threads_write_one_dense_history(tmp_path: Path) -> None:
    """Numbers, times, file, memory and listeners all tell the same order."""
    heard: list[e.Event] = []
    writer = HistoryWriter(tmp_path / "h.jsonl", HEADER, keep=True)
    writer.subscribe(heard.append)

    def work(name: str) -> None:
        for _ in range(200):
            writer.record(e.TabClosed, tab=name)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert [event.index for event in writer.events] == list(range(1000))
    assert list(read_history(tmp_path / "h.jsonl")) == writer.events == heard


def test_each_event_is_in_the_file_before_record_returns(tmp_path: Path) -> None:
    """So a crash right after loses nothing."""
    writer = HistoryWriter(tmp_path / "h.jsonl", HEADER)
    event = writer.record(e.TabClosed, tab="t1")
    assert list(read_history(tmp_path / "h.jsonl")) == [event]
    assert writer.events == []
    writer.close()


def test_after_the_end_events_belong_to_no_history(tmp_path: Path) -> None:
    """A thread that is late gets its event and writes nothing; closing twice is fine."""
    writer = HistoryWriter(tmp_path / "h.jsonl", HEADER, keep=True)
    writer.close()
    writer.close()
    assert writer.record(e.TabClosed, tab="t1").tab == "t1"
    assert writer.events == list(read_history(tmp_path / "h.jsonl")) == []


def test_without_a_file_it_keeps_and_tells() -> None:
    """For tests and shrinking."""
    heard: list[e.Event] = []
    with HistoryWriter(None, HEADER, keep=True, clock=iter([100, 101, 105]).__next__) as writer:
        writer.subscribe(heard.append)
        writer.record(e.TabClosed, tab="t1")
        writer.record(e.TabClosed, tab="t2")
    assert [(event.index, event.time_ns) for event in writer.events] == [(0, 1), (1, 5)]
    assert heard == writer.events


def test_an_event_that_is_no_json_leaves_the_history_whole(tmp_path: Path) -> None:
    """The suite's own trouble; the next event takes the number."""
    writer = HistoryWriter(tmp_path / "h.jsonl", HEADER)
    for bad in (object(), "\ud800"):
        with pytest.raises(HarnessError, match="FaultBegan can't be written"):
            writer.record(e.FaultBegan, fault_id=1, fault="rst", target="broker", parameters={"x": bad})
    writer.record(e.TabClosed, tab="t1")
    writer.close()
    assert [event.index for event in read_history(tmp_path / "h.jsonl")] == [0]


def test_a_full_disk_is_the_suites_own_trouble() -> None:
    """Not the user's, and no verdict."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(HarnessError, match="can't be written"):
        HistoryWriter("/dev/full", HEADER)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the file's name and the way out."""
    with pytest.raises(UsageError, match="No such file or directory") as caught:
        HistoryWriter(tmp_path / "none" / "h.jsonl", HEADER)
    assert caught.value.field == str(tmp_path / "none" / "h.jsonl")


# --- crashes and bad files -----------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_told_and_not_fatal(tmp_path: Path, cut: int) -> None:
    """All before it is read."""
    path = tmp_path / "h.jsonl"
    written = write(path, *closed(3))
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 1 - cut)
    history = read_history(path)
    assert list(history) == written[:2]
    assert history.torn == "line 4 is torn: the writer was ended while it wrote it"


def test_a_whole_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    """Nothing of it is missing."""
    path = tmp_path / "h.jsonl"
    written = write(path, *closed(3))
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 1)
    history = read_history(path)
    assert list(history) == written
    assert history.torn is None


def _replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


def _line(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def change_line(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        lines[number - 1] = change(lines[number - 1])
        return b"".join(lines)

    return change_line


BAD_FILES: list[tuple[str, Callable[[bytes], bytes], str | None, str]] = [
    ("empty", lambda _: b"", None, "is empty"),
    ("torn header", lambda content: content[:40], "1", "the line is no header: Input data was truncated"),
    ("another format", _replace(b"durable-ws-history", b"jepsen"), "1", "the line names format 'jepsen' version 1"),
    (
        "a later version",
        _replace(b'"version":1', b'"version":2'),
        "1",
        "version 2; this is 'durable-ws-history' version 1",
    ),
    (
        "no header",
        lambda content: content.split(b"\n", 1)[1],
        "1",
        "the line is no header of a durable-ws-history file",
    ),
    ("wrong header", _replace(b'"seed":7', b'"seed":"x"'), "1", "Expected `int`, got `str` - at `$.seed`"),
    ("binary", lambda _: os.urandom(64), "1", "the line is no header"),
    ("html", lambda _: b"<html></html>\n", "1", "the line is no header"),
    ("not JSON", _line(3, lambda _: b"tab t1 was closed\n"), "3", 'it does not begin with {"type":"'),
    ("an empty line", _line(3, lambda _: b"\n"), "3", 'it does not begin with {"type":"'),
    ("no JSON after the type", _line(3, lambda line: line[:-3] + b"\n"), "3", "the line is no event"),
    ("a line torn in the middle", _line(3, lambda line: line[:30] + b"\n"), "3", "the line is no event"),
    ("an unknown type", _line(3, _replace(b"tab_closed", b"tab_shut")), "3", "unknown type 'tab_shut'"),
    ("a missing field", _line(3, _replace(b'"tab"', b'"tob"')), "3", "missing required field `tab`"),
    ("a wrong type", _line(3, _replace(b'"t1"', b"1")), "3", "Expected `str`, got `int` - at `$.tab`"),
    ("not UTF-8", _line(3, _replace(b'"t1"', b'"\xff"')), "3", "can't decode byte 0xff"),
    ("a number beyond reason", _line(3, _replace(b'"index":1', b'"index":' + b"9" * 5000)), "3", "is no event"),
    ("nested too deep", _line(3, lambda _: b'{"type":"fault_began",' + b'"a":[' * 50_000 + b"\n"), "3", "is no event"),
    ("a line left out", _line(3, lambda _: b""), "3", "has index 2 where 1 should follow"),
    ("a line twice", _line(3, lambda line: line * 2), "4", "has index 1 where 2 should follow"),
    ("back in time", _line(2, _replace(b'"time_ns":', b'"time_ns":99999999999')), "3", "is out of time"),
    ("a time beyond reason", _line(3, _replace(b'"time_ns":', b'"time_ns":' + b"9" * 30)), "3", "is out of time"),
    ("a huge line", _line(3, lambda _: b"x" * (MAX_LINE_BYTES + 1)), "3", "is longer than 8,388,608 bytes"),
]


@pytest.mark.parametrize(
    ("change", "line", "problem"), [bad[1:] for bad in BAD_FILES], ids=[bad[0] for bad in BAD_FILES]
)
def test_a_file_that_is_no_good_is_told_with_its_line(
    tmp_path: Path, change: Callable[[bytes], bytes], line: str | None, problem: str
) -> None:
    """One clear sentence with file, line and way out; never another exception."""
    path = tmp_path / "h.jsonl"
    write(path, *closed(4))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UsageError) as caught:
        list(read_history(path))
    assert problem in caught.value.problem
    assert caught.value.field == (str(path) if line is None else f"{path}:{line}")
    assert caught.value.way_out


@pytest.mark.parametrize("path", ["missing.jsonl", "."])
def test_what_is_no_file_is_told(tmp_path: Path, path: str) -> None:
    """Not there, or a folder."""
    with pytest.raises(UsageError, match="can't be read"):
        read_history(tmp_path / path)


@settings(deadline=None)
@given(content=st.binary(max_size=300), at=st.integers(0, 1000), keep=st.booleans())
def test_no_bytes_whatever_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, keep: bool
) -> None:
    """Anything written over a good file is read, torn or refused."""
    path = tmp_path_factory.mktemp("history") / "h.jsonl"
    write(path, *closed(5))
    good = path.read_bytes()
    at %= len(good)
    path.write_bytes(good[:at] + content + (good[at + len(content) :] if keep else b""))
    try:
        events = list(read_history(path))
    except UsageError:
        return
    assert [event.index for event in events] == list(range(len(events)))


def test_every_event_type_is_registered_and_decodable() -> None:
    """No class of the module is left out of the table, and each name stands for its class."""
    classes = {
        member
        for member in vars(e).values()
        if isinstance(member, type) and issubclass(member, e.Event) and member is not e.Event
    }
    assert set(e.EVENT_TYPES.values()) == classes
    assert all(cls.type == name for name, cls in e.EVENT_TYPES.items())
    assert all(msgspec.json.Decoder(cls) for cls in classes)
