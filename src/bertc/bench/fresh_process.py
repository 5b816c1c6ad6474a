"""Measurements that need a fresh process: a module that is run as a program, and prints JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from bertc.errors import BertcError


def run_module(module: str, *arguments: object, purpose: str) -> Any:
    """Return the value of the JSON that ``python -m module arguments`` prints.

    Raises ``BertcError`` with the purpose and the process's last words if it fails.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.strip().splitlines() or ["no message"]
        raise BertcError(f"{purpose} failed: {lines[-1]}")
    return json.loads(child.stdout)
