"""What calibrates a model: chosen by seed, disjoint from what it is measured on, packed as graphs take it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc import data
from bertc.compiler.calibration_data import CalibrationData, read_calibration_data
from bertc.compiler.samples import BATCH_TOKENS, Samples
from bertc.compiler.sources import SHIPPED, choose, default_texts
from bertc.errors import InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.ir import interpreter
from bertc.passes import fuse
from bertc.recipe import Calibration
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_models import make_bert_checkpoint

WORDS = ["the", "man", "is", "playing", "guitar", "in", "paris", "and", "a", "dog"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImportedModel:
    return import_model(make_bert_checkpoint(tmp_path_factory.mktemp("tiny")))


def write_lines(folder: Path, count: int) -> str:
    path = folder / "texts.txt"
    path.write_text("".join(f"{' '.join(WORDS[: i % 9 + 1])} {i}\n" for i in range(count)))
    return str(path)


def sequences(samples: Samples, name: str = "input_ids") -> list[list[int]]:
    """This input of each sample."""
    return [
        part.tolist()
        for batch in samples.batches
        for part in np.split(batch.inputs[name], batch.inputs["cu_seqlens"][1:-1])
    ]


def read(model: ImportedModel, **settings: Any) -> CalibrationData:
    return read_calibration_data(Calibration(**settings), model)


def test_by_default_the_shipped_texts_are_split(model: ImportedModel) -> None:
    found = read(model)
    assert len(found.samples.texts) == found.samples.facts.samples == Calibration().samples
    assert len(found.held_out.texts) == found.held_out.facts.samples == Calibration().held_out
    texts = {*found.samples.texts, *found.held_out.texts}
    assert len(texts) == Calibration().samples + Calibration().held_out
    assert texts <= set(data.sample_texts()) and found.read == len(data.sample_texts())
    assert found.samples.facts.name == found.held_out.facts.name == SHIPPED
    assert found.vectors is None


def test_the_seed_decides_which(model: ImportedModel, tmp_path: Path) -> None:
    path = write_lines(tmp_path, 200)
    first, again, other = (read(model, data=path, samples=20, held_out=10, seed=seed) for seed in (1, 1, 2))
    assert first.samples.facts == again.samples.facts and first.held_out.texts == again.held_out.texts
    assert first.samples.facts.seed == 1
    assert first.samples.facts.sha256 != other.samples.facts.sha256


def test_little_data_is_shared_and_nothing_is_in_both_parts(model: ImportedModel, tmp_path: Path) -> None:
    path = Path(write_lines(tmp_path, 50))
    path.write_text(path.read_text() * 2 + "\n  \n")
    found = read(model, data=str(path), samples=400, held_out=100)
    assert len(found.samples.texts) == 40 and len(found.held_out.texts) == 10
    assert len({*found.samples.texts, *found.held_out.texts}) == 50
    assert found.read == 102


def test_one_sample_calibrates_with_a_warning(model: ImportedModel, tmp_path: Path) -> None:
    path = write_lines(tmp_path, 1)
    with pytest.warns(UserWarning, match=r"few calibration samples \(1\) in .*texts.txt"):
        found = read(model, data=path)
    assert found.samples.texts == found.held_out.texts
    assert found.held_out.facts.name == f"{path}, which it was calibrated on"
    path = write_lines(tmp_path, 2)
    with pytest.warns(UserWarning, match="few calibration samples"):
        found = read(model, data=path)
    assert len({*found.samples.texts, *found.held_out.texts}) == 2


def test_long_samples_are_cut(model: ImportedModel, tmp_path: Path) -> None:
    found = read(model, data=write_lines(tmp_path, 30), samples=20, held_out=10, max_length=8)
    assert found.samples.lengths.max() == 8 and found.samples.facts.truncated > 0


def test_pairs_carry_token_types(model: ImportedModel, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\n" + "".join(f"the man {i}\ta dog {i}\n" for i in range(30)))
    found = read(model, data=str(path), column="a", pair_column="b", samples=20, held_out=10).samples
    assert all(" / a dog" in text for text in found.texts)
    assert all(sorted(set(types)) == [0, 1] for types in sequences(found, "token_type_ids"))


def test_a_folder_of_texts_is_read_whole(model: ImportedModel, tmp_path: Path) -> None:
    for index, suffix in enumerate((".jsonl", ".csv")):
        lines = [json.dumps(f"dog {index} {i}") for i in range(10)]
        (tmp_path / f"part{suffix}").write_text("\n".join(["text"] * (suffix == ".csv") + lines))
    (tmp_path / "readme.md").write_text("not data")
    assert read(model, data=str(tmp_path), samples=15, held_out=5).read == 20
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no \.txt"):
        read(model, data=str(tmp_path / "empty"))


def test_prepared_ids_are_taken_as_they_are(model: ImportedModel, tmp_path: Path) -> None:
    path, ids = str(tmp_path / "a.npz"), np.arange(240).reshape(20, 12)
    np.savez(path, input_ids=ids, attention_mask=np.arange(12) < np.full((20, 1), 9))
    found = read(model, data=path, samples=10, held_out=10, max_length=8)
    assert sorted(sequences(found.samples) + sequences(found.held_out)) == ids[:, :8].tolist()
    assert found.samples.facts.truncated == 10
    np.savez(path, input_ids=ids + 100)
    with pytest.raises(InputError, match=r"a.npz: input_ids has \d+, .* has 300 rows: prepared for"):
        read(model, data=path)


def test_prepared_vectors_calibrate_alone(model: ImportedModel, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 6, 32)).astype(np.float32)
    for index, array in enumerate(vectors):
        np.save(tmp_path / f"{index}.npy", array[None])
    found = read(model, data=str(tmp_path), samples=100, held_out=20)
    assert found.vectors is not None
    rows = [found.vectors[ids].tobytes() for ids in sequences(found.samples)]
    assert sorted(rows) == sorted(array.tobytes() for array in vectors)
    assert found.held_out.facts.name == SHIPPED
    graph = fuse(model.graph)
    results = interpreter.run(found.enter(graph), found.samples.batches[0].inputs)
    assert results["last_hidden_state"].shape == (72, 32)
    assert read(model, samples=20).enter(graph) is graph


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({"a": np.ones((9, 4))}, "embeddings", "a.npy holds ids, the recipe says embeddings"),
        ({"a": np.full((4, 32), 0.5)}, "ids", "a.npy holds embeddings, the recipe says ids"),
        ({"a": np.ones(4), "b": np.full((4, 32), 0.5)}, "auto", "a.npy holds ids, .*b.npy holds embeddings"),
        ({"a": np.full((4, 32), 0.5), "b": np.full((4, 16), 0.5)}, "auto", "differ in size: 16, 32"),
    ],
)
def test_prepared_data_must_be_of_one_kind(
    model: ImportedModel, tmp_path: Path, arrays: dict[str, Any], kind: str, message: str
) -> None:
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(InputError, match=message):
        read(model, data=str(tmp_path), format=kind)


def test_peers_calibrate_on_what_we_calibrate_on_by_default(model: ImportedModel) -> None:
    """Not on the texts that the certificate is measured on."""
    data = read(model)
    assert list(default_texts()) == list(data.samples.texts)
    assert not set(default_texts()) & set(data.held_out.texts)


def test_progress_counts_every_record(tmp_path: Path) -> None:
    steps: list[int] = []
    chosen, read = choose(Calibration(data=write_lines(tmp_path, 2500)), 10, steps.append)
    assert len(chosen) == 10 and sum(steps) == read == 2500 and len(steps) == 3


def test_data_that_holds_nothing_is_refused(model: ImportedModel, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"a\.txt holds no text"):
        read(model, data=str(tmp_path / "a.txt"))
    with pytest.raises(InputError, match=r"cannot read .*missing\.txt"):
        read(model, data=str(tmp_path / "missing.txt"))


def test_batches_are_packed_and_bounded(model: ImportedModel) -> None:
    found = read(model).samples
    longest = found.lengths.max()
    assert len(found.batches) > 3
    for batch in found.batches:
        bounds = batch.inputs["cu_seqlens"]
        assert bounds[0] == 0 and bounds[-1] == len(batch.inputs["input_ids"]) < BATCH_TOKENS + longest
        # The model counts positions by itself.
        assert set(batch.inputs) == {"input_ids", "token_type_ids", "cu_seqlens"}
        assert all(array.dtype == np.int32 for array in batch.inputs.values())


def test_texts_with_tokens_beyond_the_table_do_not_calibrate(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="tokens that the model has no row for"):
        model = import_model(save_checkpoint(tmp_path / "model", "BertModel", vocab_size=150))
    found = read(model)
    assert max(batch.inputs["input_ids"].max() for batch in found.samples.batches) < 150
    assert 1 < len(found.samples.texts) < Calibration().samples
    with pytest.warns(UserWarning, match="no row for"):
        few = import_model(save_checkpoint(tmp_path / "few", "BertModel", vocab_size=2))
    with pytest.raises(InputError, match="every text is empty or has a token that the model has no row for"):
        read(few)
