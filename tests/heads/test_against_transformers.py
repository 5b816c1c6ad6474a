"""Every head on every family against ``transformers`` in fp32, through the padded call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc import passes
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.model_class import ModelClass, supported_classes
from bertc.lowering.lower import lower
from bertc.runtime.session import Session
from bertc.runtime.tokenization import Tokenizer
from tests.support.batches import MASKS, padded_batch
from tests.support.hf_checkpoints import CONFIGS, hf_class, save_checkpoint

Array = np.ndarray[Any, Any]

TOLERANCE = 5e-5
"""Largest difference to transformers that the project allows, as a share of the largest value."""
CLASSES = {each.name: each for each in supported_classes()}
TAKE_TURNS = ("gte", "nomic_bert", "roformer", "jina_embeddings_v3", "esm")
"""Families whose encoders are tried with every config, other classes with one each: heads are shared code."""
OF_OTHERS = ("ibert", "luke", "esmc", "xmod", "longformer", "big_bird", "squeezebert")
"""Families of the layers of others, each class with one config, padded on the left and with holes."""


def _is_tried(index: int, each: ModelClass, turn: int) -> bool:
    if each.model_type in OF_OTHERS:
        return turn == 0
    return each.model_type not in TAKE_TURNS or each.head.name == "embedding" or turn == index % len(CONFIGS)


CASES = [
    (name, config)
    for index, (name, each) in enumerate(CLASSES.items())
    for turn, config in enumerate(CONFIGS)
    if _is_tried(index, each, turn)
]
MASKED = [kind for kind in MASKS if kind not in ("none", "empty row")]  # transformers gives those anything


def load_fp32(path: Path) -> Encoder:
    """The model without a file, and without the methods of its task."""
    model = import_model(path)
    session = Session(lower(passes.fuse(model.graph)), num_threads=1)
    return Encoder(session, Tokenizer(model.tokenizer_json, model.info.max_seq_length), model.info)


def expected_of(path: Path, class_name: str, **arrays: Array | None) -> dict[str, Array]:
    """What the class gives for padded arrays, each output by its name."""
    torch = pytest.importorskip("torch")
    model = hf_class(class_name).from_pretrained(path, dtype=torch.float32).eval()
    given = {name: torch.from_numpy(np.asarray(a)) for name, a in arrays.items() if a is not None}
    if class_name.endswith("MultipleChoice"):  # [batch, choices, seq]: each row is a question of one choice
        given = {name: array[:, None] for name, array in given.items()}
    with torch.no_grad():
        result = dict(model(**given, output_hidden_states=True))
    result.pop("entity_hidden_states", None)  # LUKE's, of no entity
    layers = {f"layer {i}": value.numpy() for i, value in enumerate(result.pop("hidden_states"))}
    return {**{name: value.numpy() for name, value in result.items()}, **layers}


@pytest.mark.parametrize(("class_name", "config"), CASES)
def test_padded_call_equals_transformers(class_name: str, config: str, tmp_path: Path) -> None:
    labels = {"num_labels": 3} if CLASSES[class_name].head.has_labels else {}
    path = save_checkpoint(tmp_path / "model", class_name, **labels, **CONFIGS[config])
    encoder = load_fp32(path)
    assert encoder.info.architecture == class_name
    types = 2 if encoder.info.size("type_vocab_size") > 1 else 0
    rng = np.random.default_rng(0)
    for kind in MASKED[1:] if CLASSES[class_name].model_type in OF_OTHERS else MASKED:
        batch = padded_batch(rng, [1, 5, 20, 60], 300, kind, types=types)
        if kind == "holes" and encoder.session.reads_distances:
            with pytest.raises(InputError, match="attention_mask leaves out tokens between others"):
                encoder(batch.input_ids, batch.attention_mask)
            continue
        found = encoder(
            batch.input_ids, batch.attention_mask, batch.token_type_ids, output_hidden_states=True
        )
        expected = expected_of(
            path,
            class_name,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
        )
        given = {name: array for name, array in vars(found).items() if array is not None}
        given |= {f"layer {i}": array for i, array in enumerate(given.pop("hidden_states"))}
        assert set(given) == set(expected)
        for name, array in expected.items():
            ours = given[name]
            assert ours.shape == array.shape, name
            per_token = array.shape[:2] == batch.input_ids.shape
            # Where a sequence has one row, ours reads the first (or last) token that is there.
            read = -1 if class_name == "RoFormerForMultipleChoice" else 0
            kept = batch.mask.astype(bool) if per_token else batch.mask[:, read].astype(bool)
            error = np.abs(ours[kept] - array[kept]).max(initial=0)
            assert error <= TOLERANCE * np.abs(array[kept]).max(initial=1), (kind, name, error)
