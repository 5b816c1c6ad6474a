"""What a manifest says of how a model embeds: read back as written, nonsense refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bertc.artifact.embedding_facts import EmbeddingFacts, QueryExpansion, Ranges
from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import FEATURES, Manifest
from bertc.errors import ArtifactError
from tests.conftest import MakeArtifact

FULL = EmbeddingFacts(
    prompts={"query": "q: "},
    default_prompt_name="query",
    include_prompt=False,
    similarity_fn_name="dot",
    truncate_dim=2,
    max_active_dims=3,
    max_lengths={"": 9},
    query_expansion=QueryExpansion(8, 4, attends=False),
    skipped_token_ids=(3, 5),
    ranges=Ranges((0.0,) * 32, (1.0,) * 32),
    normalized_ranges=Ranges((0.0, -1.0), (0.0, 0.5)),
)


def _read(make: MakeArtifact, **embedding: Any) -> EmbeddingFacts:
    manifest = open_artifact(make()).manifest
    data = json.loads(manifest.to_json())
    data["model"]["embedding"] = {**data["model"]["embedding"], **embedding}
    return Manifest.from_json(json.dumps(data)).model.embedding


def test_a_manifest_is_read_as_it_was_written(artifact: MakeArtifact) -> None:
    written = json.loads(json.dumps(dataclasses.asdict(FULL)))
    assert _read(artifact, **written) == FULL
    assert {*FULL.features} == {"default_prompt_name", "truncate_dim"} <= FEATURES
    assert EmbeddingFacts().features == ()


def test_a_manifest_from_before_is_read(artifact: MakeArtifact) -> None:
    data = json.loads(open_artifact(artifact()).manifest.to_json())
    del data["model"]["embedding"]
    assert Manifest.from_json(json.dumps(data)).model.embedding == EmbeddingFacts()


def test_a_compiled_embedder_knows_its_ranges(artifact: MakeArtifact) -> None:
    facts = open_artifact(artifact()).manifest.model.embedding
    for ranges in (facts.ranges, facts.normalized_ranges):
        assert ranges is not None and len(ranges.low) == 32
        assert all(low < high for low, high in zip(ranges.low, ranges.high, strict=True))
    assert open_artifact(artifact("classification")).manifest.model.embedding == EmbeddingFacts()


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"default_prompt_name": "passage"}, "default_prompt_name cannot be"),
        ({"similarity_fn_name": "angle"}, "similarity_fn_name cannot be"),
        ({"truncate_dim": 0}, "sizes cannot be"),
        ({"max_lengths": {"query": 99999}}, "lengths cannot be"),
        ({"ranges": {"low": [0.0], "high": [1.0]}}, "ranges cannot be"),
        ({"ranges": {"low": [1.0] * 32, "high": [0.0] * 32}}, "ranges cannot be"),
        (
            {"query_expansion": {"length": 0, "token_id": -1, "attends": True}, "max_active_dims": -1},
            "sizes cannot be",
        ),
        ({"prompts": {"query": 3}}, "embedding.prompts.query has the wrong type"),
        ({"ranges": {"low": ["0"], "high": [1.0]}}, r"embedding.ranges.low\[0\] has the wrong type"),
    ],
)
def test_nonsense_is_refused(artifact: MakeArtifact, embedding: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        _read(artifact, **embedding)
