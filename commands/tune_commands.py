"""The main job in one command: tune."""

from ..options.tuning import TuneOptions
from .command import Json, Run
from .errors import show, shown_anyway


def tune(run: Run[TuneOptions], json: Json = False) -> None:
    """Make a network faster: profile, plan, apply and verify in one go. Run it again after an
    interruption, and it goes on where it stopped."""
    with shown_anyway(json):
        show(run(), json)
