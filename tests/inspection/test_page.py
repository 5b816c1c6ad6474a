from __future__ import annotations

import dataclasses

from bertc.inspection.facts import Inspection, Measured
from bertc.inspection.page import render
from tests.report.test_page import Page


def test_the_page_needs_nothing_else_and_says_it_all(found: Inspection) -> None:
    markup = render(found)
    page = Page(markup)
    assert not page.references and "http://" not in markup.replace("http://www.w3.org/2000/svg", "")
    assert {"svg", "table", "input", "style"} <= set(page.tags) and "script" not in page.tags
    for node in found.nodes:
        if ".layer.1" not in node.name and ".layer.2" not in node.name:
            assert node.name in page.text
    assert "encoder.layer.0 .. 2: 3 alike" in page.text
    assert "it gives the logits" in page.text
    assert f"{found.parameters:,}" not in page.text and f"{found.tree[0].parameters:,}" in page.text
    assert all(note in page.text for note in found.notes)


def test_every_color_has_a_switch_and_a_legend(found: Inspection) -> None:
    markup = render(found)
    for name in ("dtype", "place", "cost"):
        assert f'id="by-{name}"' in markup and f'for="by-{name}"' in markup
        assert f"#by-{name}:checked ~ figure .legend.{name}" in markup
    assert 'class="node place-native dtype-int8"' in markup
    assert '<span class="key int8"></span>int8' in markup


def test_what_was_measured_is_the_cost(found: Inspection) -> None:
    rows = [dataclasses.replace(found.tree[0], share=0.5, milliseconds=1.0), *found.tree[1:]]
    measured = Measured("avx2", 2, 2.0, 0.25)
    page = Page(render(dataclasses.replace(found, tree=tuple(rows), measured=measured)))
    assert "50.0 %" in page.text and "more time" in page.text and "2 threads with avx2" in page.text


def test_names_are_text_and_never_markup(found: Inspection) -> None:
    markup = render(dataclasses.replace(found, model="<script>x</script>", notes=("a <b> & c",)))
    assert "<script>" not in markup and "a &lt;b&gt; &amp; c" in markup
