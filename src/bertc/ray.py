"""Models for Ray Data's ``map_batches``, and the model file on every node of a cluster."""

from __future__ import annotations

from bertc.bulk.on_ray import ShippedModel, ship
from bertc.tables import Classify, Embed, Rerank, Tag

__all__ = ["Classify", "Embed", "Rerank", "ShippedModel", "Tag", "ship"]
