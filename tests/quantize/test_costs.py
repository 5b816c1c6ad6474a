from __future__ import annotations

import pytest

from bertc.passes import fuse
from bertc.quantize.costs import GIGAOPS, SMALLEST_COST, Costs
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe
from tests.support.tiny_graphs import bert_graph

LAYER = "encoder.layer.0"
DENSE, QKV, ATTENTION = (
    f"{LAYER}.intermediate.dense",
    f"{LAYER}.attention.self.qkv",
    f"{LAYER}.attention.self",
)


def costs(isa: str = "avx512_bf16", tokens_per_text: float = 16) -> Costs:
    graph = fuse(bert_graph())
    return Costs(graph, choose_precisions(graph, Recipe()), isa, tokens_per_text)


def test_time_goes_with_the_number_of_products() -> None:
    found = costs()
    dense, qkv = (found.slower(name, "bf16", "int8") for name in (DENSE, QKV))
    assert qkv / dense == pytest.approx(3 * 32 * 32 / (32 * 64))
    assert 0 < dense < found.slower(DENSE, "fp32", "int8")


def test_a_layer_after_pooling_counts_once_for_a_text() -> None:
    pooler = costs().slower("pooler.dense", "bf16", "int8")
    assert costs(tokens_per_text=64).slower("pooler.dense", "bf16", "int8") < pooler / 2
    assert pooler < costs().slower(f"{LAYER}.attention.output.dense", "bf16", "int8") / 10


def test_attention_counts_more_in_long_texts() -> None:
    short, long = costs(tokens_per_text=8), costs(tokens_per_text=512)
    assert long.slower(ATTENTION, "fp32", "int8") > short.slower(ATTENTION, "fp32", "int8") > 0


def test_a_table_costs_size_and_no_time() -> None:
    found = costs()
    assert found.slower("embeddings", "fp16", "int8") == 0
    assert SMALLEST_COST < found.cost("embeddings", "fp16", "int8") < found.cost("embeddings", "fp32", "int8")


def test_bf16_is_cheap_only_where_the_processor_has_it() -> None:
    shares = {isa: costs(isa).slower(DENSE, "bf16", "int8") for isa in ("avx512_bf16", "avx512_vnni")}
    assert shares["avx512_bf16"] < shares["avx512_vnni"] / 2


@pytest.mark.parametrize("isa", [*GIGAOPS, "neon"])
def test_nothing_is_free(isa: str) -> None:
    found = costs(isa)
    assert found.cost(DENSE, "int8", "int8") == SMALLEST_COST
    assert found.cost(DENSE, "fp32", "bf16") >= SMALLEST_COST
