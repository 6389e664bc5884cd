"""The page: complete, self-contained, and deaf to what hostile text asks of a browser."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from conformance.catalogue.result import CheckResult
from conformance.checker.verdict import Setting, Tally
from conformance.contract.model import AcceptedSection, Contract
from conformance.errors import UsageError
from conformance.history.events import FaultBegan, PublishInvoked, TabOpened
from conformance.history.file import HistoryHeader, HistoryWriter
from conformance.report.html import MOST_STORIES, make_html, write_html

Make = Callable[..., CheckResult]
Certify = Callable[..., dict[str, Any]]

_VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """Reads a page: its elements with attributes, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; its attributes must be there once each."""
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of SVG that closes itself."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """An end must fit the innermost open element."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text outside of scripts and styles."""
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, spaces squeezed."""
        return " ".join(" ".join(self.words).split())


def history(path: Path, word: str = "rst") -> Path:
    """A small history on disk; ``word`` stands wherever a peer may put one."""
    header = HistoryHeader(seed=0, command="x", versions={}, case="c", namespace="", contract={}, broker={})
    with HistoryWriter(path, header, clock=itertools.count(step=1_000_000).__next__) as writer:
        writer.record(TabOpened, tab="n1-t1", client="c")
        writer.record(TabOpened, tab=f"lane {word}", client=word)
        writer.record(FaultBegan, fault_id=1, fault=word, target="publisher", parameters={word: word})
        writer.record(
            PublishInvoked, publisher="p", message_id="m-1", exchange="x", routing_key="<k>", body_digest="00ff",
            size_bytes=1,
        )  # fmt: skip
    return path


def test_the_page_tells_the_run(
    tmp_path: Path, certify: Certify, certified: Make, violated: Make, drawn: Make, not_checked: CheckResult
) -> None:
    """Verdict, facts, every check, the story, the advice, the scenario, the picture and the command are there."""
    results = [
        certified(),
        violated(history=history(tmp_path / "history.jsonl"), scenario_path=tmp_path / "scenario.json"),
        not_checked,
        drawn(),
    ]
    certificate = certify(results, report=tmp_path)
    write_html(tmp_path / "report.html", certificate, results)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    for part in (
        "VIOLATED: 1 of 4 checks broke the promise (auto-delete-queue).",
        "RabbitMQ 3.10.8 (provisioned)",
        "What is published while a tab is away waits for it.",
        "attempted 1, confirmed 0, returned 1, delivered 0, handled 0, obligations 1, lost 1",
        "+12 ms the publisher said of it: returned as unroutable",
        'What to change: Set tab.headers.auto-delete = "false"',
        "2. begin rst on the link of t1",
        "durable-ws replay scenario.json",
        "118 scenarios",
        "durable-ws certify --only delivery/steady --seed 42",
        "Delivery latency",
        "Not checked: this broker can't be asked to: kill.",
    ):
        assert part in page.text
    ids = [attributes["data-verdict"] for tag, attributes in page.elements if "data-verdict" in attributes]
    assert sorted(ids, key=str) == ["certified", "certified", "not_checked", "violated"]
    pictures = [
        attributes for tag, attributes in page.elements if tag == "svg" and attributes.get("class") == "timeline"
    ]
    assert [picture.get("viewbox") for picture in pictures] == ["0 0 1000 262"]
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert links == {
        "history.jsonl", "scenario.json", "#check-cut/rst/while-away", "#check-broker/kill-while-away",
        "#check-delivery/steady", "#check-generated/links",
        "#main", "#violated", "#unshown", "#times", "#replay",
        "https://www.rabbitmq.com/docs/queues#durability", "https://www.rabbitmq.com/docs/queues#temporary-queues",
    }  # fmt: skip
    assert {f"#{target}" for target in targets} >= {link for link in links if link and link.startswith("#")}


def test_nothing_is_loaded_from_elsewhere(certify: Certify, certified: Make, violated: Make) -> None:
    """No element names a resource, no style does, and the policy allows the page's own script alone."""
    results = [certified(), violated()]
    text = make_html(certify(results), results, {})
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base")]
    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= targets
    used = {attributes["href"] for tag, attributes in page.elements if tag == "use"}
    assert used <= {f"#{target}" for target in targets}
    assert "@import" not in text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [attributes["content"] for tag, attributes in page.elements if attributes.get("http-equiv") is not None]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='x \x1b[31m\x9b \u202e </style></title>"


def test_hostile_text_is_inert(tmp_path: Path, certify: Certify, certified: Make, violated: Make) -> None:
    """Wherever a broker, a publisher or a file may put text, the page has the same elements as with harmless text."""

    def page(text: str, folder: str) -> Page:
        check = violated(
            f"cut/{text}", summary=text, rule=text, source=f"javascript:{text}", evidence={"scenarios": text},
            violations=4, history=history(tmp_path / folder, text), scenario_path=tmp_path / "scenario.json",
        )  # fmt: skip
        detail = check.detail
        assert detail is not None
        violations = tuple(
            replace(
                violation, summary=text, cause=text, advice=text, source=text, tab=text,
                story=tuple(replace(line, text=text) for line in violation.story),
            )
            for violation in detail.violations
        )  # fmt: skip
        tally = tuple(replace(entry, cause=text) for entry in detail.tally)
        settings = (Setting(name=text, asked=text, real=text, source=text, agrees=False),)
        check = replace(
            check, detail=replace(detail, violations=violations, tally=tally, notes=(text,), settings=settings)
        )
        unclear = certified(f"x/{text}", verdict="inconclusive")
        results = [check, unclear]
        certificate = certify(
            results, report=tmp_path, broker={text: text, "version": text, "provider": text}, publisher=text,
            client=text, command=[text, text], versions={text: text}, timings={text: 1.0},
        )  # fmt: skip
        write_html(tmp_path / "report.html", certificate, results)
        made = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert all(character.isprintable() or character == "\n" for character in made)
        return Page(made)

    harmless, hostile = page("harmless", "a.jsonl"), page(HOSTILE, "b.jsonl")
    assert [(tag, set(attributes)) for tag, attributes in hostile.elements] == [
        (tag, set(attributes)) for tag, attributes in harmless.elements
    ]
    assert "<script>alert(1)</script>" in hostile.text
    assert r"\x1b[31m\x9b \u202e" in hostile.text


def test_caps_are_stated(certify: Certify, violated: Make) -> None:
    """Beyond the first violations a line each is told, and the page says so."""
    results = [violated(violations=7)]
    page = Page(make_html(certify(results), results, {}))
    assert f"The first {MOST_STORIES} violations are told in full" in page.text
    assert "lost (auto-delete-queue): message m-7" in page.text
    detail = results[0].detail
    assert detail is not None
    many = [replace(results[0], detail=replace(detail, tally=(Tally(kind="lost", cause="ack-auto", count=1000),)))]
    assert "In all: 1000 lost (ack-auto)" in (text := Page(make_html(certify(many), many, {})).text)
    assert "and 993 not at all" in text


def test_a_history_that_cannot_be_read_is_told(tmp_path: Path, certify: Certify, violated: Make) -> None:
    """The page is written all the same and says why it has no picture."""
    broken = tmp_path / "history.jsonl"
    broken.write_text("no history\n")
    results = [violated(history=broken, scenario_path=tmp_path / "scenario.json")]
    write_html(tmp_path / "report.html", certify(results, report=tmp_path), results)
    assert "No picture: " in Page((tmp_path / "report.html").read_text(encoding="utf-8")).text


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, certify: Certify, certified: Make) -> None:
    """One clear error, no traceback from the file system."""
    results = [certified()]
    with pytest.raises(UsageError, match="can't be written"):
        write_html(tmp_path / "missing" / "report.html", certify(results), results)


def test_all_of_the_contract_is_shown(certify: Certify, certified: Make) -> None:
    """Its tables, its lists of tables and its plain values."""
    results = [certified()]
    accepted = [
        AcceptedSection(case="delivery/steady", kind="lost", cause="max-length", reason="tabs <reload>"),
        AcceptedSection(case="order/x", reason="another"),
    ]
    words = Page(make_html(certify(results, contract=Contract(accepted=accepted)), results, {})).words
    text = " ".join(" ".join(words).split())
    shown = text[text.index("The contract as resolved") :]
    assert shown.count("[[accepted]]") == 2
    assert "case delivery/steady kind lost cause max-length reason tabs <reload>" in shown
    assert "case order/x reason another" in shown
    assert "schema 1" in shown
    assert "[tab] exchange pubsub" in shown
    none = " ".join(Page(make_html(certify(results), results, {})).words)
    assert "There is no [[accepted]]." in none


def test_causes_of_several_plays(tmp_path: Path, certify: Certify, violated: Make) -> None:
    """Each with its own files; a violation of another play is not drawn into the history of the first."""
    first = violated()
    assert first.detail is not None
    other = replace(first.detail.violations[0], cause="max-length", tab="n2-t1", message_id="n2-1")
    detail = replace(first.detail, violations=(*first.detail.violations, other))
    kept = history(tmp_path / "history.jsonl")
    files = {"scenario": tmp_path / "b/scenario.json", "history": tmp_path / "b/history.jsonl"}
    causes = [
        {"cause": "lost-auto-delete-queue", "seen": 2, "replays": 5, "replays_violated": 5},
        {"cause": "lost-max-length", "seen": 7, "replays": 4, "replays_violated": 1, **files},
    ]
    results = [replace(first, detail=detail, history=kept, scenario_path=kept, evidence={"causes": causes})]
    write_html(tmp_path / "report.html", certify(results, report=tmp_path), results)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text.count("No picture: It happened in another play") == 1
    assert sum(tag == "svg" and attributes.get("role") == "img" for tag, attributes in page.elements) == 1
    assert "lost-max-length: in 7 drawn scenarios; showed again in 1 of 4 replays" in page.text
    assert ("a", {"href": "b/history.jsonl"}) in page.elements
