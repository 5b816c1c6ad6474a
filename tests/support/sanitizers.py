"""Tells whether this process runs under AddressSanitizer, which takes memory and address space of its own."""

from __future__ import annotations

from pathlib import Path


def under_address_sanitizer() -> bool:
    """Return whether AddressSanitizer's library is loaded (Linux; elsewhere the tests never run under it)."""
    maps = Path("/proc/self/maps")
    return maps.exists() and "libasan" in maps.read_text("utf-8", "replace")
