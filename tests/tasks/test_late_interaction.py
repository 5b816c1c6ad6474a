"""Token vectors and MaxSim against sentence-transformers, on folders that it and PyLate make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.tasks.late_interaction import TokenEmbedder
from bertc.tasks.similarity import maxsim
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.sentence_models import assert_close, compile_fp32, one_thread
from tests.support.texts import fifty_texts
from tests.support.tiny_models import write_json

__all__ = ["one_thread"]
"""A fixture for all tests here."""
pytestmark = pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
st = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

TEXTS = fifty_texts()
Both = tuple[Any, TokenEmbedder]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), "BertModel")


def _save(checkpoint: Path, path: Path, transformer: dict[str, Any], **options: Any) -> Path:
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(0)
    names = {"module_input_name": "token_embeddings"}
    modules = [
        Transformer(str(checkpoint), **transformer),
        Dense(32, 24, bias=False, activation_function=torch.nn.Identity(), **names),
        MultiVectorMask(**options),
        Normalize(**names),
    ]
    prompts = {"query": "[Q] ", "document": "[D] "}
    st.MultiVectorEncoder(modules=modules, prompts=prompts).save_pretrained(str(path))
    return path


def _assert_same(model: Any, ours: TokenEmbedder) -> None:
    for method, is_query in (("encode_query", True), ("encode_document", False), ("encode", None)):
        expected = getattr(model, method)(TEXTS, convert_to_numpy=True)
        for found, other in zip(ours.encode_tokens(TEXTS, is_query=is_query), expected, strict=True):
            assert_close(found, other)
    queries, documents = model.encode_query(TEXTS[:9]), model.encode_document(TEXTS)
    scores = ours.maxsim(ours.encode_query(TEXTS[:9]), ours.encode_document(TEXTS))
    assert_close(scores, model.similarity(queries, documents).numpy())


@pytest.mark.parametrize("attend", [False, True])
@pytest.mark.parametrize("strategy", ["fixed", "min"])
def test_expanded_queries(strategy: str, attend: bool, checkpoint: Path, tmp_path: Path) -> None:
    expansion = {"strategy": strategy, "attend": attend, "length": 32}
    folder = _save(
        checkpoint,
        tmp_path / "model",
        {"document_length": 40, "query_expansion": expansion},
        skiplist_words=["!", ".", "a"],
    )
    _assert_same(st.MultiVectorEncoder(str(folder)), compile_fp32(folder))


def test_expanded_queries_of_roberta(tmp_path: Path) -> None:
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "mask", "unk", "cls", "sep")}
    checkpoint = save_checkpoint(tmp_path / "checkpoint", "RobertaModel", pad_token_id=0)
    write_json(
        checkpoint / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special},
    )
    expansion = {"strategy": "fixed", "attend": False, "length": 32}
    folder = _save(checkpoint, tmp_path / "model", {"query_expansion": expansion})
    _assert_same(st.MultiVectorEncoder(str(folder)), compile_fp32(folder))


def test_lengths_and_a_skiplist_for_both(checkpoint: Path, tmp_path: Path) -> None:
    transformer = {"document_length": 50, "query_length": 20, "max_seq_length": 30}
    tasks = ["query", "document"]
    folder = _save(
        checkpoint, tmp_path / "model", transformer, skiplist_words=["[CLS]", "a", "?"], skiplist_tasks=tasks
    )
    _assert_same(st.MultiVectorEncoder(str(folder)), compile_fp32(folder))


@pytest.mark.parametrize(
    "config",
    [
        {"query_length": 16, "document_length": 50, "attend_to_expansion_tokens": False},
        {"do_query_expansion": False, "query_length": 16, "skiplist_words": ["a", "the"]},
    ],
)
def test_pylate_folders(config: dict[str, Any], checkpoint: Path, tmp_path: Path) -> None:
    folder = _save(checkpoint, tmp_path / "model", {})
    dense = folder / "1_Dense" / "config.json"
    write_json(
        dense,
        {
            "in_features": 32,
            "out_features": 24,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
            "use_residual": False,
        },
    )
    modules = {"": "sentence_transformers.models.Transformer", "1_Dense": "pylate.models.Dense.Dense"}
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": kind}
            for i, (path, kind) in enumerate(modules.items())
        ],
    )
    prefixes = {"query_prefix": "[unused299] ", "document_prefix": "[MASK] "}
    write_json(folder / "config_sentence_transformers.json", {"model_type": "ColBERT", **prefixes, **config})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 49, "do_lower_case": False})
    _assert_same(st.MultiVectorEncoder(str(folder)), compile_fp32(folder))


def test_a_text_has_the_same_bits_in_any_batch(checkpoint: Path, tmp_path: Path) -> None:
    expansion = {"strategy": "fixed", "attend": False, "length": 32}
    ours = compile_fp32(_save(checkpoint, tmp_path / "model", {"query_expansion": expansion}))
    for is_query in (True, False):
        whole = ours.encode_tokens(TEXTS, is_query=is_query)
        for text, rows in zip(TEXTS, whole, strict=True):
            assert np.array_equal(ours.encode_tokens(text, is_query=is_query), rows)
    # Nothing attends to the expansion: the query's own tokens are what they are without it.
    for text, rows in zip(TEXTS, ours.encode_query(TEXTS), strict=True):
        alone = ours.encode_tokens(text, prompt="[Q] ")
        if len(alone) < 32:
            assert np.array_equal(alone, rows[: len(alone)])


def test_a_plain_encoder_gives_its_hidden_states(checkpoint: Path, tmp_path: Path) -> None:
    import bertc

    recipe = {"dtype": "fp32", "task": "late_interaction", "calibration": {"samples": 8, "held_out": 8}}
    artifact = bertc.compile(checkpoint, tmp_path / "x.bertc", recipe)
    assert any("hidden states were taken" in note for note in artifact.certificate.notes)
    ours = bertc.load(tmp_path / "x.bertc")
    assert isinstance(ours, TokenEmbedder) and ours.encode_tokens([]) == []
    rows = ours.encode_tokens("a good dog", normalize_embeddings=True)
    assert isinstance(rows, np.ndarray) and rows.shape == (5, 32)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    with pytest.raises(InputError, match=r"it answers encode_tokens, .* and maxsim, not encode"):
        ours.encode("a")


def test_maxsim_of_a_query_and_documents_by_hand() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)
    documents = [np.array([[1, 1], [3, 0]], np.float32), np.empty((0, 2), np.float32), -query]
    assert np.array_equal(maxsim(query, documents), np.array([[4, -1e9, 0]], np.float32))
    assert np.array_equal(maxsim([query], documents[:1], mean=True), np.array([[2]], np.float32))
    assert maxsim([], documents).shape == (0, 3) and maxsim([query], []).shape == (1, 0)
    with pytest.raises(InputError, match="2 and of 3 components"):
        maxsim(query, [np.zeros((1, 3), np.float32)])
