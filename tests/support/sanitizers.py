"""Tells whether this process runs under a sanitizer, which takes memory, address space and threads itself."""

from __future__ import annotations

from pathlib import Path


def under_address_sanitizer() -> bool:
    """Return whether AddressSanitizer's library is loaded (Linux; elsewhere the tests never run under it)."""
    return _is_loaded("libasan")


def under_thread_sanitizer() -> bool:
    """Return whether ThreadSanitizer's library is loaded (Linux; elsewhere the tests never run under it)."""
    return _is_loaded("libtsan")


def _is_loaded(library: str) -> bool:
    maps = Path("/proc/self/maps")
    return maps.exists() and library in maps.read_text("utf-8", "replace")
