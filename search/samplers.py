"""Optuna's samplers by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    import optuna


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import TPESampler

    # Not group=True: with hundreds of conditional parameters it costs seconds a trial.
    return TPESampler(seed=seed)


def _random(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _nsgaii(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed)


def _nsgaiii(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(seed=seed)


def _qmc(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import QMCSampler

    return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _gp(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, warn_independent_sampling=False)


def _cmaes(seed: int) -> optuna.samplers.BaseSampler:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


_SAMPLERS: dict[str, tuple[Callable[[int], optuna.samplers.BaseSampler], str]] = {
    "tpe": (_tpe, "numpy"),
    "random": (_random, "numpy"),
    "nsgaii": (_nsgaii, "numpy"),
    "nsgaiii": (_nsgaiii, "numpy"),
    "qmc": (_qmc, "scipy"),
    "gp": (_gp, "torch"),
    "cmaes": (_cmaes, "cmaes"),
}
"""Name -> (how to make it from a seed, the package that it needs)."""


def sampler_names() -> list[str]:
    """The samplers that this installation can run."""
    return [name for name, (_, package) in _SAMPLERS.items() if find_spec(package)]


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler with its own random numbers. Raises `UsageError` for an unknown name and for
    one whose package is not installed."""
    if name not in _SAMPLERS:
        known = ", ".join(sampler_names())
        raise UsageError(f"There is no sampler {name!r}: choose one of {known}.")
    make, package = _SAMPLERS[name]
    if not find_spec(package):
        raise UsageError(f"The sampler {name!r} needs the package {package!r}: install it.")
    return make(seed)
