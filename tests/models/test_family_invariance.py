"""Batch invariance for what families add: shared layers, projections, norms before a layer's parts."""

from __future__ import annotations

import numpy as np
import pytest

from bertc.artifact.reader import open_artifact
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from bertc.runtime.session import Session
from tests.support.artifacts import Artifacts
from tests.support.batches import packed
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.native import ISAS

LENGTHS = (1, 2, 15, 17, 33, 60, 5, 8)
CLASSES = {
    "AlbertModel": {"embedding_size": 20, "num_hidden_layers": 3, "num_hidden_groups": 2},
    "ElectraModel": {"embedding_size": 20},
    "MegatronBertModel": {},
    "RobertaPreLayerNormModel": {},
    "ModernBertModel": {"local_attention": 8, "num_hidden_layers": 3},
    "UltrabertModel": {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2},
    "NomicBertModel": {},
    "RoFormerModel": {"embedding_size": 20},
    "EsmModel": {"token_dropout": True},
    "EsmcModel": {},
    "DebertaV2Model": {},
    "JinaBertModel": {},
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("class_name", CLASSES)
def test_families_give_the_same_bits_alone_and_in_a_batch(
    class_name: str, isa: str, artifacts: Artifacts
) -> None:
    config = CLASSES[class_name]
    source = artifacts.derived(
        f"family-{class_name}", lambda path: save_checkpoint(path, class_name, **config)
    )
    rng = np.random.default_rng(2)
    texts = [rng.integers(2, 300, length, dtype=np.int32) for length in LENGTHS]
    for dtype in ("fp32", "int8"):
        opened = open_artifact(artifacts.compile(source, dtype))
        one, three = (Session(opened.executable, num_threads=threads, isa=isa) for threads in (1, 3))
        together = three.run(*packed(texts))
        for index, text in enumerate(texts):
            alone = one.run(*packed([text]))["sentence_embedding"][0]
            np.testing.assert_array_equal(alone, together["sentence_embedding"][index])
        if dtype == "fp32":
            ids, cu_seqlens = packed(texts)
            inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "cu_seqlens": cu_seqlens}
            expected = interpreter.run(import_model(source).graph, inputs)["last_hidden_state"]
            scale = np.abs(expected).max()
            np.testing.assert_allclose(together["last_hidden_state"], expected, rtol=0, atol=5e-5 * scale)
