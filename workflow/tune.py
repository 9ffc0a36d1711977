"""`rankwise tune`: profile, plan, apply and verify, one after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import documents
from ..campaign.setup import Setup, make_setup
from ..documents.plan_files import write_plan
from ..errors import BackendError, CalibrationError, GoalNotReached
from ..models.output_files import NETWORKS, check_output
from ..models.preprocess import preprocess_wanted
from ..network_timing.inference_runs import can_time
from ..network_timing.training_runs import can_train
from ..options.command_lines import command_line
from ..options.keywords import arguments_for, keywords, takes
from ..options.measuring import ProfileOptions
from ..options.networks import ApplyOptions, VerifyOptions
from ..options.planning import PlanOptions
from ..options.tuning import TuneOptions
from ..planner.find_plan import shortfall
from ..planner.objective import Objective
from ..reporter import Listeners
from .apply import apply
from .backend_choice import with_backend
from .known_plans import known_plan
from .next_commands import next_commands
from .plan import BOTH, plan
from .profile import profile
from .tuning_steps import Steps
from .verify import verify

MAX_ERROR = 0.1
"""The limit on the network error where no goal is given."""
MEASURING_SHARE = 0.6
"""Share of the time that is given for measuring; the search gets what is left of it."""
NOTHING = "no layer is worth replacing within these limits, so there is no network to write"


@takes(TuneOptions)
def tune(options: TuneOptions) -> documents.Tuning:
    """Make a network faster: measure its layers, choose, write the compressed network, and time it
    against the original.

    The verbs `profile`, `plan`, `apply` and `verify` do it, and each can be run alone on what the
    others have left. What the store has is not done again: candidates that were measured, and the
    same search of the same measurements. Of a network that was named, the compressed one is
    written to `output` (default: `NAME.small.onnx` in the working directory) and the plan beside
    it; of a module that was handed over nothing is written unless `output` says where:
    `apply(result.plan, model, example_input)` makes the network then. Without any goal
    `max_error` is 0.1.

    Raises `UsageError` and its children before anything is measured; `GoalNotReached`, with the
    document, if no layer is worth replacing, the target is missed, or what is measured contradicts
    the plan.

    >>> done = rw.tune(network, example, backend="fake", max_error=0.9)
    >>> [step.verb for step in done.steps], done.reached
    (['profile', 'plan', 'verify'], True)
    >>> smaller = rw.apply(done.plan, network, example)
    """
    _require_preprocess(options)
    options, began = _completed(options), time.monotonic()
    setup = _checked(options)
    steps = Steps(Listeners.of(options.reporter), _step_count(options))
    _measure(options, steps)
    made = _plan(options, setup, steps, began)
    missed, verification = shortfall(made), None
    if made.decisions:
        _apply(options, made, steps)
        verification, contradiction = _verify(options, made, steps)
        missed = contradiction or missed
    else:
        missed = missed or NOTHING
    document = _document(options, setup, steps.done, made, verification).model_copy(
        update={"shortfall": missed, "reached": not missed, "elapsed_s": time.monotonic() - began}
    )
    if missed:
        raise GoalNotReached(missed, document)
    return document


def _document(
    options: TuneOptions,
    setup: Setup,
    steps: list[documents.TuningStep],
    made: documents.Plan,
    verification: documents.Verification | None,
) -> documents.Tuning:
    """What was done, as if the goal was reached, and in no time."""
    return documents.Tuning(
        model=setup.model,
        device=documents.Fingerprint.of(setup.fingerprint),
        backend=setup.backend_text,
        steps=steps,
        plan=made,
        verification=verification,
        plan_file=_text(plan_file(options)),
        network_file=_text(options.output) if made.decisions else None,
        reached=True,
        elapsed_s=0.0,
        next_commands=next_commands(options, made, plan_file(options)),
    )


def _require_preprocess(options: TuneOptions) -> None:
    """Say that a folder of pictures needs --preprocess before any device is tried, if the file says
    at once what the network takes. Else it is said once the network was read."""
    pictures, file = options.calibration, str(options.model)
    if options.preprocess or pictures is None or not pictures.is_dir():
        return
    from ..inputs.onnx_inputs import picture_shape

    if file.lower().endswith(".onnx") and (shape := picture_shape(Path(file))) is not None:
        raise CalibrationError(preprocess_wanted(shape))


def _completed(options: TuneOptions) -> TuneOptions:
    """The options with what was left to us: a goal, and where the network is written."""
    judged = options.evaluate is not None or options.constraints
    goals = (options.max_error, options.target_speedup)
    if not judged and all(goal is None for goal in goals):
        options = replace(options, max_error=MAX_ERROR)
    options = with_backend(options)
    return replace(options, output=options.output or default_output(options.model))


def default_output(model: Any) -> Path | None:
    """The file of a named network's compressed one, in the working directory: `net.small.onnx` for
    `net.onnx`, `resnet18.small.safetensors` for torch's; None for an object."""
    if not isinstance(model, str | Path):
        return None
    text = str(model)
    if text.lower().endswith(".onnx"):
        return Path(f"{Path(text).stem}.small.onnx")
    return Path(f"{re.split('[:/]', text)[-1]}.small.safetensors")


def plan_file(options: TuneOptions) -> Path | None:
    """Where the plan is written: beside the network."""
    return None if options.output is None else options.output.with_suffix(".plan.json")


def _checked(options: TuneOptions) -> Setup:
    """Everything that can be wrong is said before hours of measuring."""
    Objective(**arguments_for(Objective, options)).check()
    if options.output is not None:
        check_output(options.output, options.model, options.weights, suffixes=NETWORKS)
    training = options.phase == "training"
    phase = "training" if training else "inference"
    setup = make_setup(**arguments_for(make_setup, options, phase=phase))
    if reason := can_train(setup) if training else can_time(setup):
        raise BackendError(f"{reason}; tune with a backend that can, such as onnxruntime-cpu")
    setup.pictures(options.calibration, options.preprocess, options.seed)
    if options.calibration is None:
        Listeners.of(options.reporter).message(
            "without --calibration pictures the error is that on random inputs, which says little "
            "of real ones"
        )
    return setup


def _phases(options: TuneOptions) -> list[str]:
    return ["inference", "training"] if options.phase == BOTH else [options.phase]


def _step_count(options: TuneOptions) -> int:
    return len(_phases(options)) + (2 if options.output is None else 3)


def _measure(options: TuneOptions, steps: Steps) -> None:
    """Measure what the store lacks, in each phase that the plan is for."""
    phases = _phases(options)
    limit = options.max_time_s
    given_s = None if limit is None else limit * MEASURING_SHARE / len(phases)
    for phase in phases:
        values: dict[str, Any] = {"phase": phase, "max_time_s": given_s}
        with steps.step("profile", _command("profile", ProfileOptions, options, values)) as step:
            values["reporter"] = step.reporter
            found = profile(**arguments_for(profile, options, **values))
            step.result, step.known = _profiled(found), not found.samples and found.complete


def _profiled(found: documents.Profile) -> str:
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in found.verdicts.items())
    text = f"{found.candidates} candidates of {found.specs} distinct layers: {verdicts or 'none'}"
    if found.failures:
        text += f"; {len(found.failures)} failed"
    if not found.complete:
        text += "; time ran out, the next run goes on"
    return text


def _plan(options: TuneOptions, setup: Setup, steps: Steps, began: float) -> documents.Plan:
    """The plan: the store's, where the same was asked of the same measurements, or a new one."""
    output, limit = plan_file(options), options.max_time_s
    values = {"output": output}
    with steps.step("plan", _command("plan", PlanOptions, options, values)) as step:
        made = known_plan(options, setup)
        if made is not None:
            step.known = True
        else:
            left = None if limit is None else max(limit - (time.monotonic() - began), 1.0)
            more: dict[str, Any] = {"max_time_s": left, "reporter": step.reporter}
            try:
                made = plan(**arguments_for(plan, options, **values, **more))
            except GoalNotReached as error:
                if error.document is None:
                    raise
                made = error.document
        if step.known and output is not None:
            write_plan(made, output)
        step.result = _planned(made, step.known)
    return made


def _planned(made: documents.Plan, known: bool) -> str:
    text = f"{len(made.decisions)} of {len(made.layers)} layers replaced"
    if made.decisions and made.predicted.speedup is not None:
        text += f", predicted speedup {made.predicted.speedup:.2f}"
    return text + (f"; the same search was done at {made.created_at}" if known else "")


def _apply(options: TuneOptions, made: documents.Plan, steps: Steps) -> None:
    """Write the compressed network, where it is to be written."""
    if options.output is None:
        return
    values: dict[str, Any] = {"plan": plan_file(options)}
    with steps.step("apply", _command("apply", ApplyOptions, options, values)) as step:
        values |= {"plan": made, "reporter": step.reporter}
        apply(**arguments_for(apply, options, **values))
        step.result = f"wrote {options.output}"


def _verify(
    options: TuneOptions, made: documents.Plan, steps: Steps
) -> tuple[documents.Verification, str]:
    """What the whole network was measured to do, and what of the plan that contradicts."""
    values: dict[str, Any] = {"plan": plan_file(options) or made, "data": options.calibration}
    values |= dict.fromkeys(("backend", "phase", "threads"))  # the plan's own
    contradiction = ""
    with steps.step("verify", _command("verify", VerifyOptions, options, values)) as step:
        try:
            found = verify(**arguments_for(verify, options, **values, reporter=step.reporter))
        except GoalNotReached as error:
            found, contradiction = error.document, str(error)
        step.result = f"measured speedup {found.speedup:.2f}"
        if "relative_error" in found.fidelity:
            step.result += f", network error {found.fidelity['relative_error']:.4f}"
    known = documents.Verification.model_fields
    return documents.Verification.model_validate(
        found.model_dump(include=set(known))
    ), contradiction


def _command(
    verb: str, options_class: type, options: TuneOptions, values: Mapping[str, Any]
) -> str:
    return command_line(verb, options_class, {**keywords(options), **values})


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
