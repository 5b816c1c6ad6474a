"""The registry of model families: one file each, config and tensor names -> graph."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.architectures import bert
from bertc.architectures.base import Family

FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (bert.FAMILY,)}
"""``model_type`` of config.json -> its family."""

__all__ = ["FAMILIES", "Family"]
