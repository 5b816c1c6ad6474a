"""Settings of other tool-chains as recipes: what they mean, what has no meaning, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bertc.errors import RecipeError
from bertc.recipe import Recipe
from bertc.recipe.documents import parse_json
from bertc.recipe.other_tools import from_vamc

VAMC: dict[str, Any] = {
    "name": "ner",
    "frontend": {
        "checkpoint": "ner.torchscript.pt",
        "shape": {"input_ids": [1, 256]},
        "type": "pytorch",
        "dtype": "int64",
    },
    "dataset": {"type": "tvm", "path": "calib", "sampler": {"suffix": "NPZ", "get_data_num": 10}},
    "backend": {
        "type": "tvm_vacc",
        "dtype": "int8",
        "compile": {"cluster_mode": 0},
        "quantize": {
            "calibrate_mode": "percentile",
            "quantize_per_channel": False,
            "overflow_adaptive": 1,
            "calibrate_range": 0.99999,
        },
    },
    "workspace": {"path": "./deploy_weights/"},
}


def vamc(**quantize: Any) -> Any:
    settings = json.loads(json.dumps(VAMC))
    settings["backend"]["quantize"] |= quantize
    return parse_json(json.dumps(settings, indent=1))


def test_a_file_of_vamc_is_a_recipe() -> None:
    values, notes = from_vamc(vamc())
    recipe = Recipe.from_dict(values)
    assert recipe.source == "ner.torchscript.pt" and recipe.dtype == "int8"
    assert (recipe.calibration.data, recipe.calibration.format, recipe.calibration.samples) == (
        "calib",
        "ids",
        10,
    )
    assert recipe.weights.granularity == "per_tensor" and recipe.weights.rounding == "nearest"
    assert recipe.activations.mode == "static" and recipe.activations.observer is not None
    assert (recipe.activations.observer.kind, recipe.activations.observer.percentile) == (
        "percentile",
        99.999,
    )
    named = {note.partition(":")[0] for note in notes}
    assert named == {
        "name",
        "frontend.shape (input_ids)",
        "frontend.type",
        "frontend.dtype",
        "dataset.type",
        "dataset.sampler.suffix",
        "backend.type",
        "backend.compile (cluster_mode)",
        "backend.quantize.overflow_adaptive",
        "workspace (path)",
    }


@pytest.mark.parametrize(("mode", "kind"), [("max", "max"), ("mse", "mse"), ("kl_divergence", "kl")])
def test_a_percentile_is_for_percentiles_alone(mode: str, kind: str) -> None:
    values, notes = from_vamc(vamc(calibrate_mode=mode, weight_scale="mse"))
    observer = Recipe.from_dict(values).activations.observer
    assert observer is not None and observer.kind == kind
    assert f"activations.observer.percentile 99.999: it is for percentile, not {kind}" in notes


def test_16_bits_leave_out_what_is_about_8() -> None:
    settings = json.loads(json.dumps(VAMC))
    settings["backend"]["dtype"] = "fp16"
    values, notes = from_vamc(parse_json(json.dumps(settings)))
    assert values == {"source": "ner.torchscript.pt", "dtype": "bf16"}
    assert "calibration.samples: nothing is quantized with this dtype" in notes
    Recipe.from_dict(values)


def test_layers_by_number_are_told() -> None:
    _, notes = from_vamc(vamc(exclude_layers=[0, 1], skip_conv_layers=[], weight_scale="power2"))
    assert any(note.startswith("backend.quantize.exclude_layers: layers are named here") for note in notes)
    assert not any("skip_conv_layers" in note for note in notes)


def test_everything_that_is_wrong_is_told_with_lines() -> None:
    settings = json.loads(json.dumps(VAMC))
    settings["bakend"] = settings.pop("backend")
    settings["dataset"]["sampler"]["get_data_nums"] = 10
    settings["frontend"]["checkpont"] = "x"
    with pytest.raises(RecipeError) as error:
        from_vamc(parse_json(json.dumps(settings, indent=1)))
    message = str(error.value)
    assert "unknown key 'bakend', did you mean 'backend'?" in message
    assert "'dataset.sampler.get_data_nums', did you mean 'dataset.sampler.get_data_num'?" in message
    assert "line 13: unknown key 'frontend.checkpont', did you mean 'frontend.checkpoint'?" in message
    for options, expected in (
        ({"calibrate_mode": "mx"}, "is 'mx', expected one of max, mse, percentile, kl_divergence"),
        ({"calibrate_range": 99.9}, "is 99.9, expected a number above 0.5 and up to 1"),
        ({"per_channel": 1}, "is 1, expected one of True, False"),
        ({"calibrate_modes": "max"}, "did you mean 'backend.quantize.calibrate_mode'?"),
    ):
        with pytest.raises(RecipeError, match=r"line \d+: .*") as error:
            from_vamc(vamc(**options))
        assert expected in str(error.value)
    with pytest.raises(RecipeError, match="expected the mapping of vamc"):
        from_vamc(parse_json("[]"))


def test_the_names_of_a_quantization_config() -> None:
    with pytest.warns(UserWarning, match="these have no meaning here: topk_ratio: "):
        recipe = Recipe.from_kwargs(
            quantization_method=1,
            quantization_output=0,
            quantization_mode=1,
            percentile=0.999,
            topk_ratio=0.01,
            calib_data_path="calib",
        )
    assert recipe == Recipe.from_dict(
        {**Recipe.load("vendor-percentile").to_dict(), "calibration": {"data": "calib", "samples": 256}}
    )
    assert Recipe.from_kwargs() == Recipe.load("vendor-percentile")
    groups = Recipe.from_kwargs(quantization_method=0, quantization_output=1, quantization_mode=2)
    assert groups.weights.granularity == "per_tensor" and groups.activations.observer is not None
    assert (groups.activations.granularity, groups.activations.observer.kind) == ("per_channel_group", "kl")


def test_unknown_names_of_a_quantization_config_are_refused() -> None:
    with pytest.raises(
        RecipeError, match="unknown key 'quantisation_mode', did you mean 'quantization_mode'"
    ):
        Recipe.from_kwargs(quantisation_mode=1)
    with pytest.raises(RecipeError, match="quantization_mode is 3, expected one of 0, 1, 2"):
        Recipe.from_kwargs(quantization_mode=3, percentile=0.99)
