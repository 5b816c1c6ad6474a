"""The registry of model families: one file each, config and tensor names -> encoder."""

from __future__ import annotations

from bertc.architectures import bert, roberta
from bertc.architectures.family import ConfigReader, EncoderConfig, Family
from bertc.architectures.model_builder import ModelBuilder

FAMILIES: tuple[Family, ...] = (bert.FAMILY, roberta.FAMILY)
"""Every family, in the order in which messages and documents list them."""

__all__ = ["FAMILIES", "ConfigReader", "EncoderConfig", "Family", "ModelBuilder"]
