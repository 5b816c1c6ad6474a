from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.sentence_transformers import SentenceModules, read_modules
from tests.support.tiny_models import write_json


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
    ("pooling", "mode"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"word_embedding_dimension": 32}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "max"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "pooler"}, "pooler"),
    ],
)
def test_pooling_modes(pooling: dict[str, Any], mode: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Transformer", "Pooling", "Normalize"], pooling)
    assert read_modules(folder) == SentenceModules("0_Transformer/", mode, normalize=True)


@pytest.mark.parametrize(
    ("kinds", "pooling", "message"),
    [
        (["Transformer", "Pooling", "Dense"], {}, "modules are Transformer -> Pooling -> Dense; supported"),
        (["Transformer"], {}, "modules are Transformer; supported"),
        ([], {}, "modules are none"),
        (["Transformer", "Pooling"], {"pooling_mode_cls_token": True}, r"2 pooling modes \(cls, mean\)"),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": False}, r"0 pooling modes \(none\)"),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True},
            "pooling mode 'lasttoken' is not supported, only cls, mean, max",
        ),
        (["Transformer", "Pooling"], {"pooling_mode": "weightedmean"}, "'weightedmean' is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    kinds: list[str], pooling: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_modules(_folder(tmp_path, kinds, pooling))


def test_a_default_prompt_is_refused_rather_than_left_out_in_silence(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Transformer", "Pooling"], {})
    write_json(tmp_path / "config_sentence_transformers.json", {"default_prompt_name": "query"})
    with pytest.raises(CheckpointError, match="default prompt"):
        read_modules(folder)


def test_modules_outside_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = _folder(tmp_path, ["Transformer", "Pooling"], {})
    modules = [{"path": "", "type": "a.Transformer"}, {"path": "../other", "type": "a.Pooling"}]
    write_json(tmp_path / "modules.json", modules)
    with pytest.raises(CheckpointError, match="not inside the folder"):
        read_modules(folder)
