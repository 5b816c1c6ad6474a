"""Guesses which key somebody meant who wrote one that does not exist."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping

from bertc.recipe.keys import KeyPath, rule_of

FOREIGN: Mapping[str, KeyPath] = {
    "checkpoint": ("source",),
    "precision_mode": ("dtype",),
    "per_channel": ("weights", "granularity"),
    "weight_scale": ("weights", "clip"),
    "calibrate_mode": ("activations", "observer", "kind"),
    "quantization_mode": ("activations", "observer", "kind"),
    "calibrate_range": ("activations", "observer", "percentile"),
    "quantization_output": ("activations", "granularity"),
    "zero_point": ("activations", "symmetric"),
    "exclude_layers": ("exclude",),
    "modify_mixlist": ("nodes",),
    "quantize_operators": ("parts",),
    "dataset": ("calibration", "data"),
    "calib_data_path": ("calibration", "data"),
    "get_data_num": ("calibration", "samples"),
}
"""The names of things in other tool-chains, with the keys that they have here."""


def nearest_key(root: type, path: KeyPath) -> KeyPath:
    """Return a key that exists: in the same section, in another, or what another tool-chain calls so."""
    *section, name = path
    if name in FOREIGN:
        return FOREIGN[name]
    known = list(all_keys(root))
    beside = [each for each in known if list(each[:-1]) == section]
    for among, cutoff in ((beside, 0.6), (known, 0.75), (beside, 0.0)):
        close = difflib.get_close_matches(name, [each[-1] for each in among], n=1, cutoff=cutoff)
        if close:
            return next(each for each in among if each[-1] == close[0])
    return known[0]


def all_keys(cls: type, at: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield every key of a section and of the sections in it."""
    for field in dataclasses.fields(cls):
        yield (*at, field.name)
        nested = rule_of(field).section
        if nested is not None:
            yield from all_keys(nested, (*at, field.name))
