from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.sentence_transformers import read_modules
from bertc.heads import SentenceModule
from tests.support.tiny_models import write_json, write_safetensors


def _folder(path: Path, kinds: list[str], pooling: dict[str, Any]) -> CheckpointFolder:
    modules = [
        {"path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    write_json(path / "modules.json", modules)
    write_json(path / "1_Pooling" / "config.json", pooling)
    return CheckpointFolder(path, "tiny")


def test_a_folder_without_modules_is_a_plain_encoder(tmp_path: Path) -> None:
    assert read_modules(CheckpointFolder(tmp_path, "tiny")) is None


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        ({"pooling_mode_mean_tokens": True}, ("mean",)),
        ({"word_embedding_dimension": 32}, ("mean",)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, ("max", "mean")),
        ({"pooling_mode_lasttoken": True}, ("lasttoken",)),
        ({"pooling_mode_weightedmean_tokens": True}, ("weightedmean",)),
        ({"pooling_mode": "cls"}, ("cls",)),
        ({"pooling_mode": ["mean", "cls"], "pooling_mode_max_tokens": True}, ("mean", "cls")),
        ({"pooling_mode": "pooler"}, ("pooler",)),
    ],
)
def test_pooling_modes(pooling: dict[str, Any], modes: tuple[str, ...], tmp_path: Path) -> None:
    modules = read_modules(_folder(tmp_path, ["Transformer", "Pooling", "Dropout", "Normalize"], pooling))
    assert modules is not None and (modules.subfolder, modules.head) == ("0_Transformer/", "embedding")
    assert modules.modules == (SentenceModule("pooling", modes), SentenceModule("normalize"))


@pytest.mark.parametrize(
    ("kinds", "pooling", "message"),
    [
        (
            ["Transformer", "Pooling", "LSTM"],
            {},
            "the module 'LSTM' is not supported, only Transformer, Pool",
        ),
        (["Transformer"], {}, "nothing after the Transformer makes no model"),
        (["Transformer", "Pooling", "SpladePooling"], {}, "pooling -> splade after the Transformer makes no"),
        ([], {}, "the first module is missing"),
        (["WordEmbeddings", "Pooling"], {}, "the first module is WordEmbeddings"),
        (["Transformer", "Pooling"], {"pooling_mode": "best"}, "pooling mode 'best' is not supported"),
        (["Transformer", "Pooling"], {"pooling_mode": ["mean", 3]}, "pooling mode 3 is not supported"),
        (["Transformer", "Pooling"], {"pooling_mode": []}, "pooling mode None is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    kinds: list[str], pooling: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_modules(_folder(tmp_path, kinds, pooling))


def test_a_transformer_alone_is_a_cross_encoder_where_the_folder_says_so(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Transformer"], {})
    write_json(tmp_path / "config_sentence_transformers.json", {"model_type": "CrossEncoder"})
    modules = read_modules(folder)
    assert modules is not None
    assert (modules.subfolder, modules.head, modules.modules) == ("0_Transformer/", "classification", ())


def test_a_cross_encoder_with_other_modules_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config_sentence_transformers.json", {"model_type": "CrossEncoder"})
    with pytest.raises(CheckpointError, match="'LogitScore' is not supported"):
        read_modules(_folder(tmp_path, ["Transformer", "LogitScore"], {}))
    with pytest.raises(CheckpointError, match="pooling after a CrossEncoder's Transformer"):
        read_modules(_folder(tmp_path, ["Transformer", "Pooling"], {}))


def test_a_default_prompt_is_refused_rather_than_left_out_in_silence(tmp_path: Path) -> None:
    """A cross-encoder's, that is: an embedder puts it before texts."""
    folder = _folder(tmp_path, ["Transformer"], {})
    settings = {"model_type": "CrossEncoder", "default_prompt_name": "query"}
    write_json(tmp_path / "config_sentence_transformers.json", settings)
    with pytest.raises(CheckpointError, match="default prompt"):
        read_modules(folder)


@pytest.mark.parametrize(
    ("kind", "names", "kept"),
    [
        ("Normalize", {"module_input_name": "token_embeddings"}, False),
        ("Normalize", {"module_input_name": "sentence_embedding"}, True),
        ("Dense", {"module_input_name": "token_embeddings"}, None),
        ("Normalize", {"module_output_name": "other"}, None),
    ],
)
def test_modules_read_and_write_values_by_name(
    kind: str, names: dict[str, str], kept: bool | None, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, ["Transformer", "Pooling", kind], {})
    write_json(tmp_path / f"2_{kind}" / "config.json", {"out_features": 8, **names})
    write_safetensors(tmp_path / f"2_{kind}" / "model.safetensors", {"linear.weight": np.ones((8, 32))})
    if kept is None:
        with pytest.raises(CheckpointError, match=f"2_{kind}.config.json: a module that reads"):
            read_modules(folder)
    else:
        modules = read_modules(folder)
        assert modules is not None and (SentenceModule("normalize") in modules.modules) is kept


def test_modules_outside_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Transformer", "Pooling"], {})
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "../other", "type": "a.Pooling"}]
    write_json(tmp_path / "modules.json", modules)
    with pytest.raises(CheckpointError, match="not inside the folder"):
        read_modules(folder)
