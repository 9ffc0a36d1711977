"""Optuna's samplers by name."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    import optuna

_QUIET = {"warn_independent_sampling": False}
_SAMPLERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # Not group=True: with hundreds of conditional parameters it costs seconds a trial.
    "tpe": ("TPESampler", "numpy", {}),
    "random": ("RandomSampler", "numpy", {}),
    "nsgaii": ("NSGAIISampler", "numpy", {}),
    "nsgaiii": ("NSGAIIISampler", "numpy", {}),
    "qmc": ("QMCSampler", "scipy", {"scramble": True, **_QUIET}),
    "gp": ("GPSampler", "torch", _QUIET),
    "cmaes": ("CmaEsSampler", "cmaes", _QUIET),
}
"""Name -> Optuna's class, the package that it needs, and its options."""


def sampler_names() -> list[str]:
    """The samplers that this installation can run."""
    return [name for name, (_, package, _) in _SAMPLERS.items() if find_spec(package)]


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler with its own random numbers. Raises `UsageError` for an unknown name and for
    one whose package is not installed."""
    if name not in _SAMPLERS:
        known = ", ".join(sampler_names())
        raise UsageError(f"There is no sampler {name!r}: choose one of {known}.")
    class_name, package, options = _SAMPLERS[name]
    if not find_spec(package):
        raise UsageError(f"The sampler {name!r} needs the package {package!r}: install it.")
    from optuna import samplers

    sampler: optuna.samplers.BaseSampler = getattr(samplers, class_name)(seed=seed, **options)
    return sampler
