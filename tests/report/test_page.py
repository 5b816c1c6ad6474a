"""The page needs nothing but itself, says what the certificate says, and survives what a file may hold."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from bertc.artifact.certificate import Certificate
from bertc.artifact.reader import Artifact, open_artifact
from bertc.errors import ArtifactError
from bertc.report.page import render
from tests.artifact.test_certificate import FULL
from tests.conftest import MakeArtifact

VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """Checks that tags nest, and collects texts, tags and references."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def with_certificate(artifact: Artifact, value: Any) -> Artifact:
    manifest = dataclasses.replace(artifact.manifest, certificate=value)
    return dataclasses.replace(artifact, manifest=manifest)


@pytest.fixture
def opened(artifact: MakeArtifact) -> Artifact:
    return open_artifact(artifact("classification", "int8"))


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_the_page_says_what_was_measured(artifact: MakeArtifact, head: str, dtype: str) -> None:
    opened = open_artifact(artifact(head, dtype))
    certificate = opened.certificate
    page = Page(render(opened))
    assert certificate.summary[1:] in page.text
    for layer in certificate.layers:
        assert any(layer.name in text for text in page.texts)
    assert certificate.worst[0].text in page.text and certificate.data.sha256 in page.text
    assert page.tags.count("svg") == 2 + len(certificate.edges)
    assert page.tags.count("circle") == 2 * len(certificate.agreement.expected)  # type: ignore[union-attr]


def test_words_and_numbers_have_their_units(artifact: MakeArtifact) -> None:
    """Somebody who was not there reads what a cosine, a divergence and a bar are."""
    texts = {
        head: Page(render(open_artifact(artifact(head, "int8")))).text
        for head in ("embedding", "classification")
    }
    assert "by the cosine of the two vectors" in texts["embedding"]
    assert "divergence of the probabilities, in nats" in texts["classification"]
    assert all("True" not in text and "10 dB more" in text for text in texts.values())
    budget = Page(render(with_certificate(open_artifact(artifact()), FULL.to_json_value()))).text
    assert "1 - mean cosine of the answers" in budget


def test_the_page_needs_no_network(opened: Artifact) -> None:
    page = render(with_certificate(opened, FULL.to_json_value()))
    assert Page(page).references == []
    assert set(re.findall(r"https?://[^\s\"']*", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_everything_that_a_certificate_may_have_is_shown(opened: Artifact) -> None:
    page = Page(render(with_certificate(opened, FULL.to_json_value())))
    for words in (
        "Only 2 samples",
        "f1",
        "-1.00",
        "smoothing.alpha",
        "calibrated on",
        "The budget holds: cosine may drop by 0.1 %",
        "x: values from -1 to 2 (before migration and shift -60 to 9), clipped to -0.5 to 1.5",
        "dense alone in int8",
    ):
        assert words in page.text, words
    assert page.tags.count("svg") == 4


def test_text_out_of_a_file_stays_text(opened: Artifact) -> None:
    attack = "<script>alert(1)</script>\"'&"

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return attack if isinstance(value, str) else value

    value = replaced(FULL.to_json_value())
    value["vectors"] = {attack: value["vectors"]["pooler_output"]}
    value["methods"] = {attack: {attack: attack}}
    changed = with_certificate(opened, value)
    info = dataclasses.replace(changed.manifest.model, name=attack, architecture=attack, task=attack)
    manifest = dataclasses.replace(changed.manifest, model=info, recipe={attack: attack, "dtype": attack})
    raw = render(dataclasses.replace(changed, manifest=manifest))
    page = Page(raw)
    assert "script" not in page.tags and attack in page.text
    assert "<script" not in raw


HOSTILE = (
    None,
    -1,
    0,
    10**30,
    2**63,
    0.5,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    "x",
    "",
    [],
    {},
    [[]],
    [1e308],
)


def variants(value: Any) -> Iterator[Any]:
    """All copies of ``value`` with one thing in it replaced."""
    yield from HOSTILE
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        for other in variants(item):
            copy = value.copy()
            copy[key] = other
            yield copy


def test_no_certificate_breaks_the_page(opened: Artifact) -> None:
    """Read or refused; never another error, never markup that does not nest."""
    rendered = 0
    for value in variants(FULL.to_json_value()):
        try:
            page = render(with_certificate(opened, json.loads(json.dumps(value))))
        except ArtifactError:
            continue
        Page(page)
        assert not re.search(r'="(nan|-?inf)"', page)
        rendered += 1
    assert rendered > 100


def test_a_damaged_certificate_is_refused(opened: Artifact) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.certificate"):
        render(with_certificate(opened, {"version": 1}))


def test_a_certificate_of_the_least_is_a_page(opened: Artifact) -> None:
    least = Certificate(
        output="logits", reference="fp32", reference_db=1.0, isa="avx2", processor="p", data=FULL.data
    )
    page = Page(render(with_certificate(opened, least.to_json_value())))
    assert "svg" not in page.tags and "Nothing was measured" in page.text
