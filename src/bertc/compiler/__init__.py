"""The compiler: one of the few places that may reach both halves of the house.

``pipeline`` is the list of steps. It calibrates, measures and certifies by running graphs on the
native core, through ``cpu_target``.
"""

from bertc.compiler.pipeline import OnStep, choose_recipe, compile, run_pipeline  # noqa: A004

__all__ = ["OnStep", "choose_recipe", "compile", "run_pipeline"]
