"""A certificate tells a good compilation from a bad one, and where the bad one is bad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import bertc
from bertc import fidelity
from bertc.artifact.certificate import TEXT_CHARACTERS, Certificate
from bertc.compiler.certify import Graphs, certify, check_reference, shorten
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.samples import BATCH_TOKENS, Samples, tokenize
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.ir import interpreter
from bertc.ir.graph import Constant, Graph
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.quantize.calibrate import calibrate
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.static_scales import static_scale
from bertc.recipe import Observer, Recipe
from bertc.runtime.tokenization import Tokenizer
from bertc.task_table import TASKS
from tests.conftest import MakeArtifact
from tests.support.tiny_models import make_bert_checkpoint, write_weights

pytestmark = pytest.mark.native

TEXTS = [
    "the cat is playing",
    "a good movie",
    "london",
    "two dogs and three cats in the house " * 3,
    "not bad",
]
BAD = "encoder.layer.1.intermediate.dense"


def samples_for(model: ImportedModel, texts: list[str]) -> Samples:
    return tokenize(Tokenizer(model.tokenizer_json, model.info.max_seq_length), texts, "a few texts")


def certificate_of(
    checkpoint: Path, recipe: Recipe, *, damage: Mapping[str, Any] | None = None, texts: list[str] = TEXTS
) -> Certificate:
    """Of the checkpoint, compiled by the recipe, and then with some constants replaced."""
    model = import_model(checkpoint)
    fused = fuse(model.graph)
    precisions = choose_precisions(fused, recipe)
    typed = replaced(apply_precisions(fused, precisions), damage or {})
    return certificate_for(model, fused, typed, precisions, samples_for(model, texts))


def certificate_for(
    model: ImportedModel, fused: Graph, typed: Graph, precisions: Mapping[str, str], samples: Samples
) -> Certificate:
    target, output = CpuTarget(), TASKS[model.info.task].output
    reference = check_reference(model.graph, fused, samples, output, target)
    return certify(model.info, Graphs(fused, typed, precisions), samples, reference, target)


def replaced(graph: Graph, arrays: Mapping[str, Any]) -> Graph:
    changed = {name: Constant(graph.constants[name].dtype, array) for name, array in arrays.items()}
    return graph.with_nodes(graph.nodes, constants={**graph.constants, **changed})


def test_fp32_is_equal_to_itself(checkpoint: MakeArtifact) -> None:
    certificate = certificate_of(checkpoint(), Recipe(dtype="fp32"))
    vectors = certificate.vectors["sentence_embedding"]
    assert vectors.worst_cosine == pytest.approx(1, abs=1e-12)
    assert {layer.sqnr_db for layer in certificate.layers} == {fidelity.LARGEST_DB}
    assert {layer.precision for layer in certificate.layers} == {"fp32"}
    assert certificate.reference_db > 100


def test_int8_loses_a_little_everywhere(checkpoint: MakeArtifact) -> None:
    certificate = certificate_of(checkpoint(), Recipe())
    vectors = certificate.vectors["sentence_embedding"]
    assert vectors.rows == len(TEXTS)
    assert 0.98 < vectors.worst_cosine < vectors.mean_cosine < 0.9999
    layers = {layer.name: layer for layer in certificate.layers}
    assert layers["embeddings"].precision == layers["encoder.layer.0.attention.self"].precision == "int8"
    assert layers[BAD].precision == "int8" and layers["embeddings.LayerNorm"].precision == "fp32"
    assert all(20 < layer.sqnr_db < 60 for layer in certificate.layers)
    assert list(layers) == [layer.name for layer in certificate.layers]


def test_layers_that_write_8_bits_themselves_are_compared_too(checkpoint: MakeArtifact) -> None:
    """A scale that covers a tenth of what GELU writes is an error in the layer that it belongs to."""
    model = import_model(checkpoint())
    fused = fuse(model.graph)
    precisions = choose_precisions(fused, Recipe())
    data = samples_for(model, TEXTS)
    edges = (BAD, "encoder.layer.0.attention.self")
    seen = calibrate(fused, [batch.inputs for batch in data.batches], interpreter.run, edges)
    static = {edge: static_scale(seen.edges[edge], Observer(kind="max"), symmetric=False) for edge in edges}

    def layers(scales: Mapping[str, StaticScale]) -> dict[str, float]:
        typed = apply_precisions(fused, precisions, static=scales)
        assert not scales or "u8" in {node.attributes.get("out_dtype") for node in typed.nodes}
        found = certificate_for(model, fused, typed, precisions, data)
        return {layer.name: layer.sqnr_db for layer in found.layers}

    plain, sound = layers({}), layers(static)
    narrow = layers({**static, BAD: static[BAD]._replace(scale=static[BAD].scale / 10)})
    assert list(sound) == list(plain) == list(narrow)
    assert all(20 < sound[edge] < 50 for edge in edges)
    assert next(name for name in sound if narrow[name] < sound[name] - 10) == BAD


def test_the_order_and_the_counts_are_those_of_the_texts(checkpoint: MakeArtifact) -> None:
    certificate = certificate_of(checkpoint(), Recipe(), texts=["the cat"] * 300)
    assert certificate.data.samples == 300 and certificate.data.tokens == 300 * 4 > BATCH_TOKENS
    assert certificate.vectors["sentence_embedding"].rows == 300
    assert certificate.vectors["last_hidden_state"].rows == 1200


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_a_damaged_layer_shows_in_the_figures_and_is_where_the_error_starts(
    checkpoint: MakeArtifact, head: str
) -> None:
    model = import_model(checkpoint(head))
    name = f"{BAD}.weight"
    sound = apply_recipe(fuse(model.graph), Recipe())
    rng = np.random.default_rng(0)
    noise = rng.permuted(sound.constants[name].array, axis=1)
    good = certificate_of(checkpoint(head), Recipe())
    bad = certificate_of(checkpoint(head), Recipe(), damage={name: noise})
    before, after = ({layer.name: layer.sqnr_db for layer in each.layers} for each in (good, bad))
    fallen = [name for name in before if after[name] < before[name] - 6]
    assert fallen[0] == BAD and after[BAD] < 3
    if head == "embedding":
        assert (
            bad.vectors["sentence_embedding"].mean_cosine
            < 0.98
            < good.vectors["sentence_embedding"].mean_cosine
        )
    else:
        assert good.logits is not None and bad.logits is not None
        assert bad.logits.mean_kl > 20 * good.logits.mean_kl
    if head == "token_classification":
        assert bad.logits.agreement < 0.9 < good.logits.agreement  # type: ignore[union-attr]


def test_the_worst_sample_is_named(checkpoint: MakeArtifact) -> None:
    """One word's row of the table is destroyed: the text with that word is the worst."""
    model = import_model(checkpoint())
    table = "embeddings.word_embeddings.weight"
    sound = apply_recipe(fuse(model.graph), Recipe(dtype="fp32")).constants[table].array
    token = Tokenizer(model.tokenizer_json, 64)(["piano"]).packed.inputs["input_ids"][1]
    damaged = sound.copy()
    damaged[token] = -damaged[token]
    texts = [*TEXTS, "he plays the piano"]
    certificate = certificate_of(checkpoint(), Recipe(dtype="fp32"), damage={table: damaged}, texts=texts)
    assert certificate.worst[0].text == "he plays the piano"
    assert certificate.worst[0].value < 0.99 < certificate.worst[1].value
    assert certificate.worst[0].tokens == 7


def test_tokens_of_a_text_count_together(checkpoint: MakeArtifact) -> None:
    certificate = certificate_of(checkpoint("token_classification"), Recipe())
    assert certificate.logits is not None
    assert certificate.logits.rows == certificate.data.tokens
    assert {worst.text for worst in certificate.worst} == {shorten(text) for text in TEXTS}


def test_agreement_pairs_are_sorted_and_of_one_length(checkpoint: MakeArtifact) -> None:
    agreement = certificate_of(checkpoint(), Recipe()).agreement
    assert agreement is not None and len(agreement.expected) == len(agreement.found) == 10
    assert list(agreement.expected) == sorted(agreement.expected)
    assert np.abs(np.subtract(agreement.expected, agreement.found)).max() < 0.1


def test_a_model_that_gives_nan_is_refused(checkpoint: MakeArtifact) -> None:
    model = import_model(checkpoint())
    table = model.graph.constants["embeddings.LayerNorm.weight"].array
    with pytest.raises(CheckpointError, match="not finite"), np.errstate(all="ignore"):
        certificate_of(
            checkpoint(),
            Recipe(dtype="fp32"),
            damage={"embeddings.LayerNorm.weight": table * np.float32("nan")},
        )


def test_a_model_that_overflows_in_fp32_is_refused(tmp_path: Path) -> None:
    source = make_bert_checkpoint(tmp_path / "tiny", pooling="mean")
    tensors = load_file(source / "model.safetensors")
    tensors["encoder.layer.0.output.dense.weight"][:] = 1e38
    write_weights(source, tensors)
    for dtype in ("fp32", "int8"):
        with pytest.raises(CheckpointError, match="the fp32 model overflows on the first samples"):
            bertc.compile(source, tmp_path / "x.bertc", dtype=dtype)
    assert not (tmp_path / "x.bertc").exists()


def test_a_text_is_shortened_to_one_line() -> None:
    assert shorten("a\n b\tc ") == "a b c"
    long = shorten("word " * 100)
    assert len(long) == TEXT_CHARACTERS and long.endswith("…")
