"""THE list of peers: other libraries that run the same checkpoint. Each has a line here, and a file."""

from __future__ import annotations

from bertc.bench.peers.base import Peer
from bertc.bench.peers.ctranslate2 import CTranslate2Peer
from bertc.bench.peers.onnxruntime import OnnxRuntimePeer
from bertc.bench.peers.openvino import OpenVinoPeer
from bertc.bench.peers.transformers import TransformersPeer

PEERS: dict[str, type[Peer]] = {
    peer.library: peer for peer in (TransformersPeer, OnnxRuntimePeer, OpenVinoPeer, CTranslate2Peer)
}
"""The class of each peer, by the name that ``--against`` takes."""
