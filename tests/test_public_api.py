"""The names and signatures that users rely on (docs/versioning.md). A change here is a breaking one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import bertc

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def signature(function: Callable[..., Any]) -> list[tuple[str, Any, bool]]:
    """(name, default, keyword only) of each parameter but self."""
    parameters = inspect.signature(function).parameters.values()
    return [
        (p.name, p.default, p.kind is KEYWORD_ONLY)
        for p in parameters
        if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]


def test_all_is_sorted_and_complete() -> None:
    assert bertc.__all__ == sorted(bertc.__all__)
    assert all(getattr(bertc, name) is not None for name in bertc.__all__)
    assert dir(bertc) == bertc.__all__


def test_public_names() -> None:
    assert set(bertc.__all__) >= {
        "Artifact",
        "BertcError",
        "Classifier",
        "Embedder",
        "Encoder",
        "Recipe",
        "Tagger",
        "__version__",
        "compile",
        "inspect",
        "load",
    }


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        bertc.compil  # noqa: B018


def test_every_error_is_a_bertc_error() -> None:
    errors = [getattr(bertc, name) for name in bertc.__all__ if name.endswith("Error")]
    assert all(issubclass(error, bertc.BertcError) for error in errors)
    assert issubclass(bertc.InputError, ValueError)
    assert issubclass(bertc.MissingExtraError, ImportError)


EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            lambda: bertc.compile,
            [
                ("source", EMPTY, False),
                ("output", EMPTY, False),
                ("recipe", None, False),
                ("dtype", None, True),
            ],
        ),
        (
            lambda: bertc.inspect,
            [("source", EMPTY, False), ("recipe", None, False), ("dtype", None, True), ("task", None, True)],
        ),
        (
            lambda: bertc.load,
            [("path", EMPTY, False), ("num_threads", None, True), ("verify", False, True)],
        ),
        (
            lambda: bertc.Encoder.__call__,
            [
                ("input_ids", None, None),
                ("attention_mask", None, None),
                ("token_type_ids", None, None),
            ],
        ),
        (lambda: bertc.Tagger.predict_tags, [("words", EMPTY, False)]),
    ],
    ids=["compile", "inspect", "load", "Encoder.__call__", "Tagger.predict_tags"],
)
def test_signature(
    function: Callable[[], Callable[..., Any]], expected: list[tuple[str, Any, bool | None]]
) -> None:
    found = signature(function())[: len(expected)]
    assert [name for name, _, _ in found] == [name for name, _, _ in expected]
    assert [default for _, default, _ in found] == [default for _, default, _ in expected]
    for (_, _, keyword_only), (name, _, wanted) in zip(found, expected, strict=True):
        assert wanted is None or keyword_only == wanted, name


def test_encode_has_the_arguments_of_sentence_transformers() -> None:
    parameters = inspect.signature(bertc.Embedder.encode).parameters
    defaults = {
        "batch_size": 32,
        "show_progress_bar": None,
        "normalize_embeddings": False,
        "truncate_dim": None,
        "convert_to_numpy": True,
    }
    assert list(parameters)[:2] == ["self", "inputs"]
    assert {name: parameters[name].default for name in defaults} == defaults
    assert all(parameters[name].kind is KEYWORD_ONLY for name in defaults)
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    assert "sentences" in parameters or accepts_any


@pytest.mark.parametrize("method", [bertc.Classifier.classify, bertc.Tagger.tag])
def test_task_methods_take_inputs_first(method: Callable[..., Any]) -> None:
    assert list(inspect.signature(method).parameters)[:2] == ["self", "inputs"]


def test_session_runs_packed_arrays() -> None:
    from bertc.runtime.session import Session

    found = signature(Session.run)[:4]
    assert [name for name, _, _ in found] == ["input_ids", "cu_seqlens", "token_type_ids", "position_ids"]
    assert [default for _, default, _ in found] == [None, None, None, None]


def test_all_public_things_have_docstrings() -> None:
    for name in bertc.__all__:
        thing = getattr(bertc, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), name
    for encoder in (bertc.Encoder, bertc.Embedder, bertc.Classifier, bertc.Tagger):
        methods = inspect.getmembers(encoder, inspect.isfunction)
        assert all(inspect.getdoc(method) for name, method in methods if not name.startswith("_"))
