"""Experiment trackers that verbs tell what they do: give one as `reporter`.

A tracker's run holds, by the verb's name, its options as parameters (`plan.max_error`), its numbers
by step and those of its document as metrics (`plan.predicted.speedup`), and its document as a file
(`plan.json`). Networks and pictures stay where they are.
"""

from .mlflow_tracker import MlflowTracker as MlflowTracker
from .wandb_tracker import WandbTracker as WandbTracker
