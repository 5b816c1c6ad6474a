"""The page at / in headless Chromium: by keyboard, on small screens, with a key, alone with its server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

import bertc

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

TEXTS = ["the man plays guitar", "a dog", "<img src=x onerror=alert(1)>"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as api:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = api.chromium.launch(executable_path=CHROMIUM, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def problems() -> list[str]:
    """What the browser complains of: errors in scripts, what the policy forbids, requests to others."""
    return []


@pytest.fixture
def page(browser: Any, url: str, problems: list[str]) -> Iterator[Any]:
    """The page of a server, with the key."""
    context = browser.new_context(viewport={"width": 380, "height": 760}, color_scheme="dark")
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: line.type == "error" and problems.append(line.text))
    opened.on("request", lambda request: request.url.startswith(url) or problems.append(request.url))
    opened.goto(url)
    enter(opened, "k")
    opened.get_by_role("radio", name="embedder").wait_for()
    problems[:] = [each for each in problems if "401" not in each]  # which the server said without the key
    yield opened
    context.close()


def enter(page: Any, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def choose(page: Any, model: str) -> None:
    page.get_by_role("radio", name=model).check()


def run(page: Any, **fields: str) -> Any:
    """Fill in fields by their labels' beginnings, ask, and return the box with what came back."""
    for label, value in fields.items():
        page.get_by_role("textbox", name=label).fill(value)
    page.keyboard.press("Control+Enter")
    page.get_by_text("tokens in").wait_for()
    return page.locator(".result")


def names(box: Any) -> list[str]:
    """The names of the bars."""
    return [cell.inner_text() for cell in box.locator(".bars th").all()]


def check_width(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_texts_and_their_matrix(page: Any, problems: list[str], model_files: dict[str, Path]) -> None:
    box = run(page, Texts="\n".join(TEXTS))
    embedder: Any = bertc.load(model_files["embedder"], num_threads=1)
    vectors = embedder.encode(TEXTS, normalize_embeddings=True)
    found = [cell.inner_text() for cell in box.locator("tbody td").all()]
    np.testing.assert_allclose(np.array(found, float), (vectors @ vectors.T).ravel(), atol=0.0051)
    assert [item.inner_text() for item in box.locator("li").all()] == TEXTS
    assert "similarity_matrix" in box.locator("pre").text_content()
    check_width(page)
    assert problems == []


def test_every_other_task(page: Any, problems: list[str], model_files: dict[str, Path]) -> None:
    choose(page, "classifier")
    classifier: Any = bertc.load(model_files["classifier"], num_threads=1)
    labels = [each["label"] for each in classifier.classify(TEXTS[0], top_k=None)]
    assert names(run(page, Texts=TEXTS[0])) == labels

    choose(page, "reranker")
    reranker: Any = bertc.load(model_files["reranker"], num_threads=1)
    order = [TEXTS[each["corpus_id"]] for each in reranker.rank("a man", TEXTS)]
    assert names(run(page, Query="a man", Texts="\n".join(TEXTS))) == order

    choose(page, "tagger")
    text = "\N{GRINNING FACE} john smith lives in london"
    tagger: Any = bertc.load(model_files["tagger"], num_threads=1)
    entities = [[text[each["start"] : each["end"]], each["entity_group"]] for each in tagger.tag(text)]
    box = run(page, Text=text)
    assert [
        [mark.evaluate("each => each.firstChild.data"), mark.locator(".kind").inner_text()]
        for mark in box.locator("mark").all()
    ] == entities

    choose(page, "answerer")
    answerer: Any = bertc.load(model_files["answerer"], num_threads=1)
    box = run(page, Question="who?", Text=text)
    (answer,) = box.locator("mark").all()
    assert answer.evaluate("each => each.firstChild.data") == answerer.answer("who?", text)["answer"]

    choose(page, "filler")
    filler: Any = bertc.load(model_files["filler"], num_threads=1)
    words = [each["sequence"] for each in filler.fill_mask("the [MASK] plays")]
    assert names(run(page, Text="the [MASK] plays")) == words
    page.get_by_role("textbox", name="Text").fill("no mask")
    page.get_by_role("button", name="Run").click()
    assert "(422)" in page.get_by_role("alert").inner_text()
    problems[:] = [each for each in problems if "422" not in each]
    check_width(page)
    assert problems == []


def test_tokens_certificate_and_load_by_keyboard(
    page: Any, problems: list[str], model_files: dict[str, Path]
) -> None:
    page.get_by_role("radio", name="embedder").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("heading", name="classifier").is_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Tokens").get_attribute("aria-selected") == "true"
    page.get_by_role("textbox", name="Text").fill("The Dog")
    page.keyboard.press("Control+Enter")
    page.get_by_text("4 tokens of at most 64").wait_for()
    shown = [item.inner_text().split("\n")[0] for item in page.locator(".tokens li").all()]
    assert shown == ["special", "The", "Dog", "special"]
    page.get_by_role("tab", name="Tokens").focus()
    page.keyboard.press("End")
    summary = bertc.load(model_files["embedder"]).artifact.certificate.summary
    page.get_by_text(summary[1:]).wait_for()
    page.get_by_text("Layer by layer").click()
    check_width(page)
    page.locator(".spark polyline[points*=' ']").first.wait_for()
    assert page.locator("#figures").inner_text().startswith("requests / s")
    assert page.locator("#state").inner_text().endswith("ready")
    assert problems == []


def test_the_key_stays_in_memory(browser: Any, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    enter(page, "wrong")
    page.get_by_text("The server takes another key").wait_for()
    enter(page, "k")
    page.get_by_role("radio", name="embedder").wait_for()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert page.get_by_label("API key").input_value() == ""
    page.get_by_role("button", name="Forget the key").click()
    page.get_by_label("API key").wait_for()
    context.close()
