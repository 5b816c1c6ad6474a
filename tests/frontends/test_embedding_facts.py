"""What a folder says of how its embedding model is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.artifact.embedding_facts import EmbeddingFacts, QueryExpansion
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.tiny_models import make_bert_checkpoint, make_tokenizer, write_json

VOCABULARY = make_tokenizer().get_vocab()


def _facts(path: Path, config: dict[str, Any], transformer: dict[str, Any] | None = None) -> EmbeddingFacts:
    multi_vector = config.get("model_type") in ("ColBERT", "MultiVectorEncoder")
    make_bert_checkpoint(path, pooling=None if multi_vector else "mean")
    write_json(path / "config_sentence_transformers.json", config)
    if transformer is not None:
        write_json(path / "sentence_bert_config.json", transformer)
    if multi_vector:
        kinds = {"": "Transformer", "1_Normalize": "Normalize"}
        modules = [{"path": folder, "type": f"x.{kind}"} for folder, kind in kinds.items()]
        write_json(path / "modules.json", modules)
        write_json(path / "1_Normalize" / "config.json", {"module_input_name": "token_embeddings"})
    return import_model(path).info.embedding


def test_a_folder_that_says_nothing(tmp_path: Path) -> None:
    assert _facts(tmp_path, {}) == EmbeddingFacts()


def test_what_sentence_transformers_keeps(tmp_path: Path) -> None:
    config = {
        "prompts": {"query": "q: ", "document": None, "passage": ""},
        "default_prompt_name": "query",
        "similarity_fn_name": "dot",
        "truncate_dim": 8,
    }
    assert _facts(tmp_path, config) == EmbeddingFacts(
        prompts={"query": "q: ", "passage": ""},
        default_prompt_name="query",
        similarity_fn_name="dot",
        truncate_dim=8,
    )


PYLATE = {"model_type": "ColBERT", "query_prefix": "[Q] ", "document_prefix": "[D] ", "document_length": 40}


@pytest.mark.parametrize(
    ("config", "expansion"),
    [
        ({}, QueryExpansion(32, VOCABULARY["[MASK]"], attends=False)),
        ({"query_length": 20}, QueryExpansion(20, VOCABULARY["[MASK]"], attends=False)),
        ({"attend_to_expansion_tokens": True}, QueryExpansion(32, VOCABULARY["[MASK]"], attends=True)),
        ({"do_query_expansion": False, "query_length": 20}, None),
    ],
)
def test_what_pylate_keeps(config: dict[str, Any], expansion: QueryExpansion | None, tmp_path: Path) -> None:
    facts = _facts(tmp_path, {**PYLATE, **config})
    assert facts.prompts == {"query": "[Q] ", "document": "[D] "}
    assert facts.query_expansion == expansion
    assert facts.max_lengths["document"] == 40
    assert facts.max_lengths.get("query") == (None if expansion else 20)
    assert facts.skipped_token_ids == tuple(sorted(VOCABULARY[mark] for mark in ".,!?'-()"))


def test_the_longest_sequence_is_that_of_any_task(tmp_path: Path) -> None:
    config = {"model_type": "MultiVectorEncoder"}
    transformer = {"max_seq_length": 20, "document_length": 50, "query_length": 99}
    facts = _facts(tmp_path, config, transformer)
    assert facts.max_lengths == {"": 20, "document": 50}
    assert import_model(tmp_path).info.max_seq_length == 64  # what there are positions for


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"default_prompt_name": "passage"}, "default_prompt_name is 'passage', expected one of 'query'"),
        ({"prompts": ["a"]}, r"prompts is \['a'\], expected texts by name"),
        ({"prompts": {"query": 3}}, "prompts is .* expected texts by name"),
        ({"truncate_dim": 0}, "truncate_dim is 0, expected a positive integer"),
        ({**PYLATE, "document_length": "many"}, "document_length is 'many', expected a positive integer"),
        ({**PYLATE, "query_length": 99}, "length of query_expansion is 99, expected at most .* 64 tokens"),
        (
            {**PYLATE, "query_expansion": {"strategy": "best"}},
            "query_expansion is .* a strategy fixed or min",
        ),
        (
            {**PYLATE, "query_expansion": {"strategy": "min", "length": 8, "token": "<m>"}},
            "token of query_expansion is '<m>', expected a token of the vocabulary",
        ),
    ],
)
def test_nonsense_is_named(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"config_sentence_transformers.json: (the )?{message}"):
        _facts(tmp_path, config)
