"""Adapters by task, as jina-embeddings-v3 has them on the hub: one is merged when the model is compiled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bertc
from bertc.cli.main import app
from bertc.errors import CheckpointError, InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from tests.support.hf_checkpoints import save_checkpoint

numpy = pytest.importorskip("safetensors.numpy")

Array = np.ndarray[Any, Any]
ADAPTERS = ["retrieval.query", "text-matching"]
RANK, ALPHA = 4, 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A checkpoint with two adapters; the same without any, and with the second merged by hand."""
    root = tmp_path_factory.mktemp("jina")
    plain, merged, both = (root / name for name in ("plain", "merged", "both"))
    for path in (plain, merged, both):
        save_checkpoint(path, "JinaEmbeddingsV3Model", num_hidden_layers=1)
    rng, tensors = np.random.default_rng(0), numpy.load_file(plain / "model.safetensors")
    by_hand, stored = dict(tensors), dict(tensors)
    for name, weight in tensors.items():
        if weight.ndim != 2:
            continue
        (rows, columns), module = weight.shape, name.removesuffix(".weight")
        left = rng.normal(size=(2, rows, RANK)).astype(np.float32)
        right = rng.normal(size=(2, RANK, columns)).astype(np.float32)
        by_hand[name] = weight + left[1] @ right[1] * np.float32(ALPHA / RANK)
        first, second = (left, right) if "embeddings" in name else (right, left)
        stored[f"{module}.parametrizations.weight.original"] = stored.pop(name)
        stored[f"{module}.parametrizations.weight.0.lora_A"] = first
        stored[f"{module}.parametrizations.weight.0.lora_B"] = second
    numpy.save_file(by_hand, merged / "model.safetensors")
    numpy.save_file(stored, both / "model.safetensors")
    config = json.loads((both / "config.json").read_text("utf-8"))
    config |= {"lora_adaptations": ADAPTERS, "lora_rank": RANK, "lora_alpha": ALPHA}
    (both / "config.json").write_text(json.dumps(config), "utf-8")
    return plain, merged, both


def _assert_same(found: ImportedModel, expected: ImportedModel) -> None:
    assert found.graph.nodes == expected.graph.nodes
    for name, constant in expected.graph.constants.items():
        np.testing.assert_allclose(found.graph.constants[name].array, constant.array, rtol=0, atol=1e-5)


def test_an_adapter_is_merged_with_all_that_it_changes(folders: tuple[Path, Path, Path]) -> None:
    _, merged, both = folders
    found = import_model(both, adapter=ADAPTERS[1])
    _assert_same(found, import_model(merged))
    assert found.info.facts["adapter"] == ADAPTERS[1]


def test_without_a_choice_it_is_said_which_there_are(folders: tuple[Path, Path, Path]) -> None:
    plain, _, both = folders
    with pytest.warns(UserWarning, match="has adapters, 'retrieval.query', 'text-matching': without one"):
        found = import_model(both)
    _assert_same(found, import_model(plain))


def test_the_recipe_and_the_command_line_choose_one(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, merged, both = folders
    options = {"dtype": "int8", "calibration": {"samples": 8, "held_out": 8}}
    (tmp_path / "recipe.json").write_text(json.dumps(options), "utf-8")
    by_python = bertc.compile(both, tmp_path / "a.bertc", options, adapter=ADAPTERS[1])
    output = ["-o", str(tmp_path / "b.bertc"), "--recipe", str(tmp_path / "recipe.json")]
    outcome = CliRunner().invoke(app, ["compile", str(both), *output, "--adapter", ADAPTERS[1]])
    assert outcome.exit_code == 0, outcome.output
    by_hand = bertc.load(bertc.compile(merged, tmp_path / "c.bertc", options).path)
    assert by_python.manifest.recipe["adapter"] == ADAPTERS[1]
    texts = ["a man is playing guitar", "the small red cat"]
    for file in ("a.bertc", "b.bertc"):
        vectors = bertc.load(tmp_path / file).encode(texts, normalize_embeddings=True)
        assert (vectors * by_hand.encode(texts, normalize_embeddings=True)).sum(1).min() > 0.999


def test_what_is_not_there_is_refused(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    plain, _, both = folders
    with pytest.raises(CheckpointError, match=r"adapter is 'sts', the checkpoint has 'retrieval\.query'"):
        import_model(both, adapter="sts")
    with pytest.raises(CheckpointError, match="has no adapters in it: leave out adapter 'sts'"):
        import_model(plain, adapter="sts")
    file = tmp_path / "model.onnx"
    file.write_bytes(b"")
    with pytest.raises(InputError, match="adapter 'sts' is for a model folder"):
        bertc.compile(file, tmp_path / "model.bertc", adapter="sts")


@pytest.fixture(scope="module")
def of_peft(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint with an adapter in a folder of peft, and the same with it merged by hand."""
    root = tmp_path_factory.mktemp("peft")
    both, merged = (save_checkpoint(root / name, "EuroBertModel", num_hidden_layers=1) for name in "ab")
    rng, tensors = np.random.default_rng(0), numpy.load_file(both / "model.safetensors")
    by_hand, factors = dict(tensors), {}
    for name, weight in tensors.items():
        if "_proj" in name:
            left, right = (rng.normal(size=(size, RANK)).astype(np.float32) for size in weight.shape)
            by_hand[name] = weight + left @ right.T * np.float32(ALPHA / RANK)
            module = f"base_model.model.{name.removesuffix('.weight')}"
            factors |= {f"{module}.lora_A.weight": right.T.copy(), f"{module}.lora_B.weight": left}
    folder = both / "adapters" / "retrieval"
    folder.mkdir(parents=True)
    numpy.save_file(factors, folder / "adapter_model.safetensors")
    numpy.save_file(by_hand, merged / "model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "use_dora": False}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    return both, merged


def test_an_adapter_of_peft_is_merged(of_peft: tuple[Path, Path]) -> None:
    both, merged = of_peft
    found = import_model(both, adapter="retrieval")
    _assert_same(found, import_model(merged))
    assert "adapters/retrieval/adapter_model.safetensors" in found.source["files"]
    with pytest.warns(UserWarning, match="has adapters, 'retrieval': without one"):
        import_model(both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"use_dora": True, "peft_type": "IA3"},
            "peft_type is 'IA3', .*use_dora is True, supported is False",
        ),
        ({"r": 0}, "r is 0, expected a positive number"),
        ({"lora_alpha": "1"}, "lora_alpha is '1', expected"),
    ],
)
def test_what_peft_adds_besides_is_refused(
    changes: dict[str, Any], message: str, of_peft: tuple[Path, Path], tmp_path: Path
) -> None:
    path = shutil.copytree(of_peft[0], tmp_path / "model")
    file = path / "adapters" / "retrieval" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        import_model(path, adapter="retrieval")


def test_factors_that_fit_no_layer_are_refused(of_peft: tuple[Path, Path], tmp_path: Path) -> None:
    path = shutil.copytree(of_peft[0], tmp_path / "model")
    file = path / "adapters" / "retrieval" / "adapter_model.safetensors"
    factors = numpy.load_file(file)
    name = next(name for name in factors if "lora_A" in name)
    for changed, message in (
        ({name: factors[name][:1]}, "lora_B, lora_A and layers.0"),
        ({name.replace("layers.0", "layers.7"): factors[name]}, "layers.7.* is no dense layer with"),
    ):
        numpy.save_file({**factors, **changed}, file)
        with pytest.raises(CheckpointError, match=message):
            import_model(path, adapter="retrieval")


def test_a_language_has_its_adapter(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "XmodModel", num_hidden_layers=1)
    name = "encoder.layer.0.output.adapter.dense1.weight"
    tensors = numpy.load_file(path / "model.safetensors")
    for language, options in (("en_XX", {}), ("de_DE", {"adapter": "de_DE"})):
        found = import_model(path, **options).graph.constants[name].array
        np.testing.assert_array_equal(found, tensors[name.replace("adapter", f"adapter_modules.{language}")])
    with pytest.raises(
        CheckpointError, match=r"adapter is 'fr_XX', and the checkpoint has one .*: de_DE, en_XX"
    ):
        import_model(path, adapter="fr_XX")


def test_factors_of_another_rank_are_refused(folders: tuple[Path, Path, Path]) -> None:
    both = folders[2]
    config = both / "config.json"
    before = config.read_text("utf-8")
    config.write_text(json.dumps({**json.loads(before), "lora_rank": 3}), "utf-8")
    try:
        with pytest.raises(CheckpointError, match=r"lora_A and lora_B of .* no adapters of rank 3"):
            import_model(both, adapter=ADAPTERS[0])
    finally:
        config.write_text(before, "utf-8")
