"""Parts of a model: what is compiled from its embeddings on, or up to a node, is a part of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.compiler.parts import choose_part
from bertc.encoder import Encoder
from bertc.errors import ArtifactError, InputError, RecipeError
from bertc.frontends.huggingface import import_model
from bertc.frontends.source import import_source
from bertc.ir import interpreter
from bertc.runtime.batching import PackedBatch
from tests.cli.conftest import Run, run  # noqa: F401
from tests.conftest import MakeArtifact
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.onnx_models import OnnxBert
from tests.support.tiny_models import packed_inputs

Array = np.ndarray[Any, Any]

TEXTS = ["a man is playing the guitar", "the cat sat", "hello world, paris is in london"]
FEW = {"calibration": {"samples": 10, "held_out": 8}, "embeddings": "fp32"}
RECIPES: dict[str, dict[str, Any]] = {
    "fp32": {"dtype": "fp32", **FEW},
    "bf16": {"dtype": "bf16", **FEW},
    "int8": {"dtype": "int8", **FEW},
    "static": {"dtype": "int8", **FEW, "activations": {"mode": "static"}},
}
CLASSES: dict[str, dict[str, Any]] = {
    "AlbertForPreTraining": {"embedding_size": 20},
    "BertForMaskedLM": {},
    "DistilBertModel": {},
    "ElectraForTokenClassification": {"embedding_size": 20},
    "MPNetModel": {},
    "MegatronBertModel": {},
    "RobertaPreLayerNormModel": {},
    "XLMRobertaXLModel": {},
}


def compiled(source: Path, folder: Path, recipe: str, **options: Any) -> Encoder:
    path = folder / "part.bertc"
    bertc.compile(source, path, RECIPES[recipe], **options)
    return bertc.load(path)


def first_hidden_state(whole: Encoder, batch: PackedBatch) -> Array:
    session = whole.session.with_outputs({"first": whole.info.hidden_states[0]})
    return session.run_batch(batch, outputs=["first"])["first"]


@pytest.mark.native
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("head", ["embedding", "token_classification"])
def test_the_rest_gives_the_bits_of_the_whole(
    head: str, recipe: str, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    """Calibration too sees the same: with so few texts it keeps all rows, whatever a value is called."""
    source = checkpoint(head)
    whole = compiled(source, tmp_path, recipe)
    rest = compiled(source, tmp_path, recipe, inputs="embeddings")
    batch = whole.tokenizer(TEXTS).packed
    rows = first_hidden_state(whole, batch)
    expected = whole.session.run_batch(batch)
    found = rest.session.run(embeddings=rows, cu_seqlens=batch.cu_seqlens)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert rest.artifact.certificate.summary == whole.artifact.certificate.summary


@pytest.mark.parametrize("class_name", CLASSES)
def test_tables_and_the_rest_are_the_whole_of_every_family(class_name: str, tmp_path: Path) -> None:
    source = save_checkpoint(tmp_path / "model", class_name, **CLASSES[class_name])
    whole = import_model(source)
    part = choose_part(whole, "embeddings", None)
    roles = part.tables.roles
    types = len(part.tables.tensors[roles["token_type"]]) if "token_type" in roles else 1
    inputs = packed_inputs([4, 15, 1], type_vocab_size=types)
    del inputs["position_ids"]  # which are counted, from RoBERTa's first one too
    inputs["selected"] = np.array([1, 7, 19], np.int32)
    part.tables.save(tmp_path / "tables.safetensors")
    tables = bertc.EmbeddingTables.load(tmp_path / "tables.safetensors")
    rows = tables(inputs["input_ids"], inputs["cu_seqlens"], inputs["token_type_ids"])
    expected = interpreter.run(whole.graph, inputs)
    found = interpreter.run(part.model.graph, {**inputs, "embeddings": rows})
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    (port,) = (port for port in part.model.graph.inputs if port.columns)
    assert port.columns == CLASSES[class_name].get("embedding_size", 32)
    assert set(tables.tensors) <= {f"embeddings.{each}" for each in _names_in(source)}


def _names_in(checkpoint: Path) -> set[str]:
    """The names of a checkpoint's tensors, from the embeddings on."""
    from safetensors import safe_open

    with safe_open(checkpoint / "model.safetensors", "numpy") as file:
        return {name.partition("embeddings.")[2] for name in file.keys()}  # noqa: SIM118


def test_embeddings_are_what_transformers_feeds_its_layers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    source = save_checkpoint(tmp_path / "model", "RobertaModel", pad_token_id=1)
    part = choose_part(import_model(source), "embeddings", None)
    model = transformers.RobertaModel.from_pretrained(source).eval()
    ids = np.random.default_rng(0).integers(5, 300, (3, 9))
    with torch.no_grad():
        expected = model(torch.from_numpy(ids), output_hidden_states=True).hidden_states[0].numpy()
    np.testing.assert_allclose(part.tables(ids), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_onnx_file_has_parts_too(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    source = OnnxBert(layers=2).save(tmp_path / "model.onnx")
    with pytest.warns(UserWarning, match="no tokenizer"):
        whole = import_source(source)
    part = choose_part(whole, "embeddings", "encoder.layer.0")
    inputs = packed_inputs([4, 15], vocab_size=40)
    del inputs["position_ids"]
    rows = part.tables(inputs["input_ids"], inputs["cu_seqlens"], inputs["token_type_ids"])
    named = whole.graph.with_nodes(whole.graph.nodes, outputs={"x": "encoder.layer.0.output.LayerNorm"})
    expected = interpreter.run(named, inputs)["x"]
    found = interpreter.run(part.model.graph, {**inputs, "embeddings": rows})["last_hidden_state"]
    np.testing.assert_array_equal(found, expected)
    with pytest.warns(UserWarning, match="no tokenizer"):
        bertc.compile(source, tmp_path / "rest.bertc", RECIPES["int8"], inputs="embeddings")
    assert bertc.load(tmp_path / "rest.bertc").session.takes_embeddings


def test_a_module_has_parts_too(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    module = transformers.BertModel.from_pretrained(checkpoint()).eval()
    folder = checkpoint()
    options: dict[str, Any] = {"inputs": "embeddings", "tokenizer": folder}
    bertc.compile(module, tmp_path / "module.bertc", RECIPES["fp32"], **options)
    ours = compiled(folder, tmp_path, "fp32", inputs="embeddings")
    rows = np.random.default_rng(0).normal(size=(9, 32)).astype(np.float32)
    bounds = np.array([0, 4, 9])
    found, expected = (
        each.session.run(embeddings=rows, cu_seqlens=bounds)
        for each in (bertc.load(tmp_path / "module.bertc"), ours)
    )
    np.testing.assert_allclose(found["last_hidden_state"], expected["last_hidden_state"], atol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "until",
    [
        "encoder.layer.0",
        "encoder.layer.0.attention.self",
        "encoder.layer.0.attention.self.query",
        "encoder.layer.1.attention.output.add",
        "encoder.layer.1.intermediate.dense",
        "encoder.layer.1.intermediate.activation",
        "pooler",
    ],
)
def test_a_file_ends_at_the_node_that_is_named(
    until: str, recipe: str, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    source = checkpoint()
    part = compiled(source, tmp_path, recipe, until=until)
    batch = part.tokenizer(TEXTS).packed
    model = import_model(source)
    graph = model.graph
    value = next(node.outputs[0] for node in reversed(graph.nodes) if node.name.startswith(until))
    expected = interpreter.run(
        graph.with_nodes(graph.nodes, outputs={"value": value}),
        {**batch.inputs, "cu_seqlens": batch.cu_seqlens},
    )["value"]
    name = "pooler_output" if until == "pooler" else "last_hidden_state"
    found = part.session.run_batch(batch)
    assert set(found) == {name, "sentence_embedding" if until == "pooler" else "token_embeddings"}
    error = np.linalg.norm(found[name] - expected) / np.linalg.norm(expected)
    assert error < (1e-5 if recipe == "fp32" else 0.15)
    assert part.info.facts["until"] == until
    if until == "pooler":
        np.testing.assert_array_equal(part.encode(TEXTS), found[name])
    else:
        np.testing.assert_array_equal(np.concatenate(part.encode_tokens(TEXTS)), found[name])


def test_masked_words_are_those_of_all_tokens_where_a_file_ends_in_their_head(tmp_path: Path) -> None:
    source = save_checkpoint(tmp_path / "model", "BertForMaskedLM")
    part = choose_part(import_model(source), "ids", "cls.predictions.transform")
    assert [port.rows for port in part.model.info.outputs] == ["tokens", "tokens"]
    assert "selected" not in {port.name for port in part.model.graph.inputs}


def test_an_unknown_node_is_answered_by_the_nearest_names(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no node 'encoder.layer.2' .*: .*encoder\.layer\.1, "):
        compiled(checkpoint(), tmp_path, "fp32", until="encoder.layer.2")
    assert not list(tmp_path.iterdir())


def test_padded_rows_are_taken_as_ids_are(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    rest = compiled(checkpoint("token_classification"), tmp_path, "int8", inputs="embeddings")
    tables = bertc.EmbeddingTables.load(tmp_path / "part.embeddings.safetensors")
    ids = np.random.default_rng(0).integers(5, 300, (2, 7))
    mask = np.array([[1] * 7, [0] * 3 + [1] * 4])
    rows = tables(ids)
    found = rest(embeddings=rows, attention_mask=mask, output_hidden_states=True)
    assert found.logits is not None
    assert found.hidden_states is not None
    np.testing.assert_array_equal(found.hidden_states[0], rows * mask[..., None])
    for row, kept in zip((0, 1), mask.astype(bool), strict=True):
        alone = rest.session.run(embeddings=rows[row][kept], cu_seqlens=np.array([0, kept.sum()]))["logits"]
        np.testing.assert_array_equal(found.logits[row][kept], alone)
    with pytest.raises(InputError, match="embeddings stand for ids"):
        rest(ids, embeddings=rows)
    with pytest.raises(InputError, match=r"expected floats \[batch, seq, hidden\]"):
        rest(embeddings=rows[0])


def test_ids_and_texts_are_refused_with_advice(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    rest = compiled(checkpoint(), tmp_path, "fp32", inputs="embeddings")
    ids, bounds = np.array([2, 7, 3]), np.array([0, 3])
    rows = np.zeros((3, 32), np.float32)
    for ask in (
        lambda: rest.encode(TEXTS),
        lambda: rest(ids[None]),
        lambda: rest.session.run(ids, bounds),
        lambda: rest.session.run(embeddings=rows, cu_seqlens=bounds, position_ids=ids),
    ):
        with pytest.raises(InputError, match=r"it takes embeddings, not .*bertc\.EmbeddingTables"):
            ask()
    with pytest.raises(InputError, match="cu_seqlens is missing"):
        rest.session.run(embeddings=rows)
    with pytest.raises(InputError, match="'embeddings' is missing"):
        rest.session.run(cu_seqlens=bounds)
    with pytest.raises(InputError, match=r"floats \[tokens, 32\]"):
        rest.session.run(embeddings=rows[:, :16], cu_seqlens=bounds)
    whole = compiled(checkpoint(), tmp_path, "fp32")
    with pytest.raises(InputError, match="no input 'embeddings'"):
        whole.session.run(embeddings=rows, cu_seqlens=bounds)


def test_prepared_vectors_calibrate_what_takes_them(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    tables = choose_part(import_model(checkpoint()), "embeddings", None).tables
    folder = tmp_path / "vectors"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(12):
        np.save(folder / f"{index}.npy", tables(rng.integers(5, 300, (1, 9))))
    recipe = {**RECIPES["int8"], "calibration": {"data": str(folder), "samples": 12, "held_out": 4}}
    artifact = bertc.compile(checkpoint(), tmp_path / "rest.bertc", recipe, inputs="embeddings")
    facts = artifact.certificate.calibration
    assert facts is not None
    assert (facts.samples, facts.tokens) == (12, 108)
    assert next(iter(artifact.certificate.vectors.values())).mean_cosine > 0.99


def test_a_budget_is_held_for_what_takes_embeddings(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    recipe = {**RECIPES["int8"], "budget": {"max_drop": 0.00002}}
    artifact = bertc.compile(checkpoint(), tmp_path / "rest.bertc", recipe, inputs="embeddings")
    budget = artifact.certificate.budget
    assert budget is not None
    assert budget.met
    with pytest.raises(RecipeError, match="a model that takes embeddings reads none"):
        bertc.compile(
            checkpoint(), tmp_path / "rest.bertc", RECIPES["fp32"], inputs="embeddings", eval_data="x.tsv"
        )


def test_wrong_arguments_are_refused_before_the_work(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"
    for options, message in (
        ({"inputs": "vectors"}, "expected one of ids, embeddings"),
        ({"embeddings": tmp_path / "b"}, "leave it out"),
        ({"inputs": "embeddings", "embeddings": output}, "one file"),
        ({"inputs": "embeddings", "until": "embeddings"}, "ends at its embeddings"),
    ):
        with pytest.raises(InputError, match=message):
            bertc.compile(checkpoint(), output, RECIPES["fp32"], **options)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="does not exist"):
        bertc.compile(
            checkpoint(), output, RECIPES["fp32"], inputs="embeddings", embeddings=tmp_path / "no" / "a"
        )
    assert not list(tmp_path.iterdir())


def test_a_file_of_tables_is_checked(checkpoint: MakeArtifact, tmp_path: Path) -> None:
    for path in (checkpoint() / "model.safetensors", checkpoint() / "config.json"):
        with pytest.raises(ArtifactError, match="holds no embedding tables"):
            bertc.EmbeddingTables.load(path)
    with pytest.raises(ArtifactError, match="cannot open"):
        bertc.EmbeddingTables.load(tmp_path / "none.safetensors")
    tables = choose_part(import_model(checkpoint()), "embeddings", None).tables
    with pytest.raises(InputError, match=r"input_ids go from 1 to 300, the table has 300 rows"):
        tables(np.array([[1, 300]]))
    with pytest.raises(InputError, match=r"token_type_ids are int64 \(1, 1\), expected integers \(1, 2\)"):
        tables(np.array([[1, 2]]), token_type_ids=np.array([[0]]))
    with pytest.raises(InputError, match="position_ids go from 64"):
        tables(np.array([[1]]), position_ids=np.array([[64]]))
    with pytest.raises(InputError, match="has 65 tokens, the model has positions for 64"):
        tables(np.zeros((1, 65), int))
    for bounds in (None, [0, 2], [1, 3], [0, 2, 2, 3], []):
        with pytest.raises(InputError, match="rise from 0 to the number of tokens"):
            tables(np.array([1, 2, 3]), None if bounds is None else np.array(bounds, int))


def test_the_command_writes_both_files_and_show_tells_what_the_file_takes(
    run: Run,  # noqa: F811
    checkpoint: MakeArtifact,
    tmp_path: Path,
) -> None:
    output, tables = tmp_path / "rest.bertc", tmp_path / "tables.safetensors"
    options = ["--inputs", "embeddings", "--until", "encoder.layer.0", "--embeddings", tables]
    facts = run.json("compile", checkpoint(), "-o", output, "--dtype", "fp32", *options)
    assert facts["embeddings"] == str(tables)
    assert bertc.EmbeddingTables.load(tables)(np.array([[2, 7]])).shape == (1, 2, 32)
    shown = run("show", output)
    assert "f32 [tokens, 32]" in shown.out
    assert "encoder.layer.0" in shown.out
    ports = run.json("show", output)["program"]["inputs"]
    assert [port["name"] for port in ports] == ["embeddings"]
    assert "i32 [tokens]" in run("show", _whole(checkpoint, tmp_path)).out


def test_what_takes_embeddings_is_timed_on_random_ones(
    run: Run,  # noqa: F811
    checkpoint: MakeArtifact,
    tmp_path: Path,
) -> None:
    path = bertc.compile(checkpoint(), tmp_path / "rest.bertc", RECIPES["fp32"], inputs="embeddings").path
    shape = ("--batch", "2", "--length", "8", "--seconds", "0")
    assert run.json("bench", path, "--layers", *shape)
    assert run.json("bench", path, *shape, "--no-peaks", "--repeats", "1")


def _whole(checkpoint: MakeArtifact, folder: Path) -> Path:
    return bertc.compile(checkpoint(), folder / "whole.bertc", RECIPES["fp32"]).path


def test_the_rest_is_exported_to_onnx_with_rows_as_its_input(
    checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    for recipe, form in (("fp32", "fp32"), ("static", "qdq")):
        rest = compiled(checkpoint(), tmp_path, recipe, inputs="embeddings")
        bertc.export(tmp_path / "part.bertc", tmp_path / "part.onnx", format=form)
        session = runtime.InferenceSession(str(tmp_path / "part.onnx"), providers=["CPUExecutionProvider"])
        rows = bertc.EmbeddingTables.load(tmp_path / "part.embeddings.safetensors")(np.array([[2, 7, 9, 3]]))
        mask = np.ones((1, 4), np.int64)
        found = session.run(["last_hidden_state"], {"embeddings": rows, "attention_mask": mask})[0]
        expected = rest(embeddings=rows).last_hidden_state
        assert expected is not None
        np.testing.assert_allclose(found, expected, atol=1e-4 if form == "fp32" else 0.1)


def test_tables_of_a_family_with_task_types_are_all_there(tmp_path: Path) -> None:
    source = save_checkpoint(
        tmp_path / "model", "ErnieModel", use_task_id=True, task_type_vocab_size=3, type_vocab_size=2
    )
    tables = choose_part(import_model(source), "embeddings", None).tables
    ids = np.array([[4, 5]])
    assert not np.array_equal(tables(ids), tables(ids, task_type_ids=np.array([[2, 2]])))
