"""What stands on the encoder inside an ONNX file, and which of its outputs are compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError, InputError
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx import import_onnx
from bertc.task_table import TASKS
from tests.support.onnx_models import HIDDEN, LOWEST, VOCABULARY, OnnxBert
from tests.support.tiny_models import make_tokenizer, write_json

pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore:.*has no tokenizer")


def read(head: Any, folder: Path, **options: Any) -> ImportedModel:
    return import_onnx(OnnxBert(head=head).save(folder / "tiny.onnx"), **options)


def last_ops(model: ImportedModel, count: int) -> list[str]:
    nodes = model.graph.nodes[-count:]
    return [str(node.attributes.get("mode", node.op)) for node in nodes]


def wide_mask(bert: OnnxBert, like: str = "") -> str:
    mask = bert.op("Unsqueeze", "attention_mask", bert.constant([-1]))
    if like:
        mask = bert.op("Expand", mask, bert.op("Shape", like))
    return str(bert.op("Cast", mask, to=1))


def mean(bert: OnnxBert, x: str) -> str:
    """As sentence-transformers computes it: the mask is expanded, the count kept from zero."""
    mask = wide_mask(bert, x)
    total = bert.op("ReduceSum", bert.op("Mul", x, mask), bert.constant([1]), keepdims=0)
    count = bert.op("Clip", bert.op("ReduceSum", mask, bert.constant([1]), keepdims=0), bert.constant(1e-9))
    return str(bert.op("Div", total, count))


def mean_by_product(bert: OnnxBert, x: str) -> str:
    mask = bert.op("Cast", bert.op("Unsqueeze", "attention_mask", bert.constant([1])), to=1)
    total = bert.op("Squeeze", bert.op("MatMul", mask, x), bert.constant([1]))
    count = bert.op("ReduceSum", bert.op("Cast", "attention_mask", to=1), bert.constant([1]), keepdims=1)
    return str(bert.op("Div", total, count))


def maximum(bert: OnnxBert, x: str) -> str:
    keep = bert.op("Equal", bert.op("Unsqueeze", "attention_mask", bert.constant([2])), bert.constant(1))
    return str(bert.op("ReduceMax", bert.op("Where", keep, x, bert.constant(-1e9)), axes=[1], keepdims=0))


def maximum_by_sum(bert: OnnxBert, x: str) -> str:
    low = bert.op("Mul", bert.op("Sub", bert.constant(1.0), wide_mask(bert)), bert.constant(LOWEST))
    return str(bert.op("ReduceMax", bert.op("Add", x, low), axes=[1], keepdims=0))


def first(bert: OnnxBert, x: str) -> str:
    return str(bert.op("Gather", x, bert.constant(0), axis=1))


def first_by_slice(bert: OnnxBert, x: str) -> str:
    part = bert.op("Slice", x, bert.constant([0]), bert.constant([1]), bert.constant([1]))
    return str(bert.op("Squeeze", part, bert.constant([1])))


def root_mean(bert: OnnxBert, x: str) -> str:
    total = bert.op("ReduceSum", bert.op("Mul", x, wide_mask(bert)), bert.constant([1]), keepdims=0)
    return str(
        bert.op(
            "Div",
            total,
            bert.op("Sqrt", bert.op("ReduceSum", wide_mask(bert), bert.constant([1]), keepdims=0)),
        )
    )


@pytest.mark.parametrize(
    ("pool", "mode"),
    [
        (mean, "mean"),
        (mean_by_product, "mean"),
        (maximum, "max"),
        (maximum_by_sum, "max"),
        (first, "cls"),
        (first_by_slice, "cls"),
        (root_mean, "mean_sqrt_len_tokens"),
    ],
)
def test_poolings(pool: Any, mode: str, tmp_path: Path) -> None:
    model = read(lambda bert, x: {"sentence_embedding": pool(bert, x)}, tmp_path)
    assert last_ops(model, 1) == [mode]
    assert model.info.task == "embedding"


def norm_by_sum(bert: OnnxBert, x: str) -> str:
    squares = bert.op("ReduceSum", bert.op("Mul", x, x), bert.constant([-1]), keepdims=1)
    return str(bert.op("Div", x, bert.op("Clip", bert.op("Sqrt", squares), bert.constant(1e-12))))


def norm_by_op(bert: OnnxBert, x: str) -> str:
    norm = bert.op("ReduceL2", x, axes=[1], keepdims=1)
    return str(
        bert.op("Div", x, bert.op("Expand", bert.op("Clip", norm, bert.constant(1e-12)), bert.op("Shape", x)))
    )


@pytest.mark.parametrize("norm", [norm_by_sum, norm_by_op, lambda bert, x: bert.op("LpNormalization", x)])
def test_normalization(norm: Any, tmp_path: Path) -> None:
    model = read(lambda bert, x: {"sentence_embedding": norm(bert, mean(bert, x))}, tmp_path)
    assert last_ops(model, 2) == ["mean", "normalize"]


def classifier(bert: OnnxBert, x: str, labels: int = 3) -> dict[str, str]:
    dense = bert.op(
        "Gemm",
        first(bert, x),
        bert.weight("pooler", HIDDEN, HIDDEN),
        bert.weight("pooler.bias", HIDDEN),
        transB=1,
    )
    logits = bert.op(
        "Gemm",
        bert.op("Tanh", dense),
        bert.weight("out", labels, HIDDEN),
        bert.weight("out.bias", labels),
        transB=1,
    )
    return {"any name": logits}


def test_labels_come_from_the_config_beside(tmp_path: Path) -> None:
    names = {"0": "bad", "1": "fair", "2": "good"}
    write_json(
        tmp_path / "config.json", {"architectures": ["BertForSequenceClassification"], "id2label": names}
    )
    model = read(classifier, tmp_path)
    assert (model.info.task, model.info.labels) == ("classification", ("bad", "fair", "good"))
    assert last_ops(model, 4) == ["cls", "linear", "tanh", "linear"]
    assert model.info.architecture == "BertForSequenceClassification"


def test_labels_of_a_config_that_does_not_fit_are_left_out(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"id2label": {"0": "no", "1": "yes"}})
    assert read(classifier, tmp_path).info.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def words(bert: OnnxBert, x: str) -> dict[str, str]:
    dense = bert.op("Relu", bert.op("MatMul", x, bert.weight("dense", HIDDEN, HIDDEN)))
    return {"logits": bert.op("MatMul", dense, bert.op("Transpose", "word", perm=[1, 0]))}


def test_the_head_of_a_masked_lm_takes_selected_tokens_alone(tmp_path: Path) -> None:
    model = read(words, tmp_path)
    assert model.info.task == "masked_lm"
    assert last_ops(model, 4) == ["select_rows", "linear", "relu", "linear"]
    assert model.info.outputs[0].columns == VOCABULARY


def span(bert: OnnxBert, x: str) -> dict[str, str]:
    both = bert.op("MatMul", x, bert.weight("span", HIDDEN, 2))
    start, end = bert.op("Split", both, bert.constant([1, 1]), axis=-1, outputs=2)
    return {
        name: bert.op("Squeeze", each, bert.constant([-1]))
        for name, each in (("start_logits", start), ("end_logits", end))
    }


def test_where_answers_start_and_end_is_one_output(tmp_path: Path) -> None:
    model = read(span, tmp_path)
    assert model.info.task == "question_answering"
    assert model.graph.outputs.keys() == {"logits"}


def several(bert: OnnxBert, x: str) -> dict[str, str]:
    return {"a": bert.op("Identity", "input_ids"), "b": x, "c": mean(bert, x), "d": first(bert, x)}


def test_of_several_outputs_one_is_taken_and_told(tmp_path: Path) -> None:
    model = read(several, tmp_path)
    assert last_ops(model, 1) == ["mean"]
    assert any("'c' was taken for sentence_embedding" in note for note in model.notes)


def test_the_caller_chooses_an_output(tmp_path: Path) -> None:
    model = read(several, tmp_path, output="d")
    assert last_ops(model, 1) == ["cls"]
    assert not any("was taken" in note for note in model.notes)
    with pytest.raises(CheckpointError, match="'a' is ids"):
        read(several, tmp_path, output="a")


def test_modules_beside_make_the_vector(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    modules += [
        {"type": f"sentence_transformers.models.{kind}", "path": f"1_{kind}"}
        for kind in ("Pooling", "Normalize")
    ]
    write_json(tmp_path / "modules.json", modules)
    write_json(tmp_path / "config.json", {})
    (tmp_path / "1_Pooling").mkdir()
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    model = read(None, tmp_path)
    assert last_ops(model, 2) == ["cls", "normalize"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in a folder "onnx", with the tokenizer above it."""
    make_tokenizer(VOCABULARY).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "onnx").mkdir()
    OnnxBert(head=classifier).save(tmp_path / "onnx" / "model.onnx")
    return tmp_path


def test_a_file_is_compiled_and_answers(folder: Path) -> None:
    bertc.compile(folder / "onnx" / "model.onnx", folder / "out.bertc")
    model = bertc.load(folder / "out.bertc")
    assert model.info.name == folder.name
    assert model.classify("the cat")["label"].startswith("LABEL_")


def test_the_folder_of_the_tokenizer_can_be_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lonely = OnnxBert(head=classifier).save(tmp_path_factory.mktemp("lonely") / "lonely.onnx")
    assert import_onnx(lonely, tokenizer=folder).tokenizer_json
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        import_onnx(lonely, tokenizer=lonely.parent)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_without_a_tokenizer_the_file_takes_ids(dtype: str, tmp_path: Path) -> None:
    source = OnnxBert().save(tmp_path / "m.onnx")
    artifact = bertc.compile(source, tmp_path / "m.bertc", dtype=dtype)
    assert "no tokenizer" in " ".join(artifact.certificate.notes)
    assert artifact.certificate.data.name.startswith("random ids")
    model = bertc.load(tmp_path / "m.bertc")
    ids = np.array([[1, 5, 7, 2], [1, 9, 2, 0]])
    hidden = model(ids, (ids > 0).astype(int)).last_hidden_state
    assert hidden.shape == (2, 4, HIDDEN)
    with pytest.raises(InputError, match="no tokenizer"):
        model.encode("a text")
    with pytest.raises(InputError, match="no tokenizer"):
        model.count_tokens("a text")


def test_a_masked_lm_without_a_tokenizer(tmp_path: Path) -> None:
    bertc.compile(OnnxBert(head=words).save(tmp_path / "m.onnx"), tmp_path / "m.bertc", dtype="fp32")
    logits = bertc.load(tmp_path / "m.bertc")(np.array([[1, 5, 7, 2]])).logits
    assert logits is not None and logits.shape == (1, 4, VOCABULARY)


def test_options_of_files_are_refused_for_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="for a file"):
        bertc.compile(tmp_path, tmp_path / "m.bertc", output_name="logits")


def splade(bert: OnnxBert, x: str) -> dict[str, str]:
    logits = words(bert, x)["logits"]
    weights = bert.op("Log", bert.op("Add", bert.op("Relu", logits), bert.constant(1.0)))
    return {"x": bert.op("ReduceMax", bert.op("Mul", weights, wide_mask(bert)), axes=[1], keepdims=0)}


def test_sparse_vectors(tmp_path: Path) -> None:
    model = read(splade, tmp_path)
    assert (model.info.task, last_ops(model, 2)) == ("sparse", ["log1p_relu", "max"])


def token_vectors(bert: OnnxBert, x: str) -> dict[str, str]:
    projected = bert.op("MatMul", x, bert.weight("projection", HIDDEN, 4))
    return {"y": bert.op("Div", projected, bert.op("ReduceL2", projected, axes=[-1], keepdims=1))}


def test_vectors_of_tokens(tmp_path: Path) -> None:
    model = read(token_vectors, tmp_path)
    assert (model.info.task, last_ops(model, 2)) == ("late_interaction", ["linear", "normalize"])


def both_heads(bert: OnnxBert, x: str) -> dict[str, str]:
    pair = classifier(bert, x, 2)["any name"]
    return {"p": words(bert, x)["logits"], "q": pair}


def test_both_heads_of_pretraining(tmp_path: Path) -> None:
    model = read(both_heads, tmp_path)
    assert model.info.task == "pretraining"
    assert {port.name: port.rows for port in model.info.outputs} == {
        "prediction_logits": "selected",
        "seq_relationship_logits": "sequences",
    }


def test_the_pair_of_pretraining_is_called_as_the_family_of_the_config_calls_it(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "albert", "architectures": ["AlbertForPreTraining"]})
    model = read(both_heads, tmp_path)
    assert [port.name for port in model.info.outputs] == ["prediction_logits", "sop_logits"]


def logits_and_states(bert: OnnxBert, x: str) -> dict[str, str]:
    return {"logits": classifier(bert, x, 2)["any name"], "last_hidden_state": x}


@pytest.mark.parametrize(
    ("head", "task", "output"),
    [
        (logits_and_states, "classification", "logits"),
        (logits_and_states, "next_sentence", "logits"),
        (logits_and_states, "embedding", "sentence_embedding"),
        (logits_and_states, "late_interaction", "token_embeddings"),
        (both_heads, "masked_lm", "logits"),
        (both_heads, "next_sentence", "logits"),
        (both_heads, "pretraining", "prediction_logits"),
        (splade, "sparse", "sparse_embedding"),
    ],
)
def test_a_task_that_the_outputs_can_serve_is_taken(
    head: Any, task: str, output: str, tmp_path: Path
) -> None:
    model = read(head, tmp_path, task=task)
    assert model.info.task == task
    assert output in {port.name for port in model.info.outputs}
    assert {port.rows for port in model.info.outputs if port.name == output} == {TASKS[task].rows}


@pytest.mark.parametrize(
    ("head", "task", "own"),
    [
        (logits_and_states, "token_classification", "classification"),
        (logits_and_states, "multiple_choice", "classification"),
        (splade, "embedding", "sparse"),
        (both_heads, "embedding", "pretraining"),
        (None, "classification", "embedding"),
    ],
)
def test_a_task_that_contradicts_the_outputs_is_refused(
    head: Any, task: str, own: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=f"task is {task}, but the outputs .* make a model for {own}"):
        read(head, tmp_path, task=task)


def layers(bert: OnnxBert, x: str) -> dict[str, str]:
    norms = [node.output[0] for node in bert.nodes if node.op_type == "LayerNormalization"]
    return {"first": norms[0], "last": x, "middle": norms[1]}


def test_of_many_hidden_states_the_last_is_taken(tmp_path: Path) -> None:
    model = read(layers, tmp_path)
    assert model.graph.outputs["last_hidden_state"] == "encoder.layer.0.output.LayerNorm"


def test_prompts_and_lengths_beside_are_kept(folder: Path) -> None:
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "find: "}})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 9})
    OnnxBert().save(folder / "onnx" / "model.onnx")
    info = import_onnx(folder / "onnx" / "model.onnx").info
    assert info.embedding.prompts["query"] == "find: "
    assert info.max_seq_length == 9
