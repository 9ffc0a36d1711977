"""The life of an Ascend device in this process: who initialises, binds, and gives back.

Order of set-up: init, set_device, context, stream, memory, model. Everything is given back in
the order that CANN's samples keep: model, description, datasets and their buffers, memory,
events and stream, context, reset_device; finalize at the end of the process.
"""

from __future__ import annotations

import atexit
import logging
from typing import Any

from .acl_calls import REPEAT_INITIALIZE, SUCCESS, Acl, AclError

LOG = logging.getLogger(__name__)

DESTROY_STREAM = "rt.destroy_stream"
RELEASES = {
    "mdl.unload": 0,
    "mdl.destroy_desc": 1,
    "mdl.destroy_dataset": 2,
    "destroy_data_buffer": 3,
    "rt.free": 4,
    "rt.free_host": 4,
    "rt.destroy_event": 5,
    DESTROY_STREAM: 6,
}
"""The call that gives a handle back -> when."""


class AclProcess:
    """`acl.init` and `acl.finalize`: once for the process, whoever asks how often.

    Code 100002 means that somebody else (torch_npu, say) has initialised: it works, and the
    end is theirs, too. Finalising happens at exit, or by `stop`; never in a destructor.
    """

    def __init__(self, acl: Acl) -> None:
        self.acl = acl
        self.devices: dict[int, AclDevice] = {}
        self._started = self._owner = False

    def start(self) -> None:
        if self._started:
            return
        code = self.acl.call("init")
        if code not in (SUCCESS, REPEAT_INITIALIZE):
            self.acl.check("init", code)
        self._started, self._owner = True, code == SUCCESS
        atexit.register(self.stop)

    def device(self, number: int) -> AclDevice:
        return self.devices.setdefault(number, AclDevice(self, number))

    def stop(self) -> None:
        """Give back whatever is still held, then finalize if that is ours. Safe to repeat."""
        atexit.unregister(self.stop)
        for device in self.devices.values():
            device.release_all()
        if self._started and self._owner:
            _attempt(self.acl, "finalize")
        self._started = self._owner = False


_PROCESSES: dict[int, AclProcess] = {}


def process_of(module: Any) -> AclProcess:
    """The one `AclProcess` of a loaded `acl` module."""
    return _PROCESSES.setdefault(id(module), AclProcess(Acl(module)))


class AclDevice:
    """A device is set, and has a context of ours, while somebody holds `Handles` on it.

    Binding is per thread: a runner calls `use` before it does anything.
    """

    def __init__(self, process: AclProcess, number: int) -> None:
        self.process, self.acl, self.number = process, process.acl, number
        self.context = 0
        self._holders: set[Handles] = set()

    def hold(self, handles: Handles) -> None:
        if not self._holders:
            self._open()
        self._holders.add(handles)
        try:
            self.use()
        except AclError:
            self.leave(handles)
            raise

    def use(self) -> None:
        self.acl.done("rt.set_context", self.context)

    def leave(self, handles: Handles) -> None:
        """The last one to leave destroys the context and resets the device."""
        if handles in self._holders:
            self._holders.discard(handles)
            if not self._holders:
                self._close()

    def release_all(self) -> None:
        for handles in list(self._holders):
            handles.release()

    def _open(self) -> None:
        self.process.start()
        self.acl.done("rt.set_device", self.number)
        try:
            self.context = self.acl.value("rt.create_context", self.number)
        except AclError:
            _attempt(self.acl, "rt.reset_device", self.number)
            raise

    def _close(self) -> None:
        context, self.context = self.context, 0
        _attempt(self.acl, "rt.destroy_context", context)
        _attempt(self.acl, "rt.reset_device", self.number)


class Handles:
    """What one runner holds on a device; `release` gives everything back, once.

    A release that fails (a lost device refuses most) is logged, and the others go on.
    """

    def __init__(self, device: AclDevice) -> None:
        self.device, self.acl = device, device.acl
        self._held: list[tuple[str, int]] = []

    def __enter__(self) -> Handles:
        self.device.hold(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def keep(self, release: str, handle: int) -> int:
        """Remember how the handle is given back; the handle."""
        assert release in RELEASES, release
        self._held.append((release, handle))
        return handle

    def release(self) -> None:
        """Wait for what was enqueued, then give back in the order of `RELEASES`.

        A stream that cannot be waited for (its device is lost) goes first, and what was
        enqueued goes with it: nothing else may be freed under work that is not done.
        """
        held, self._held = self._held, []
        if held:
            _attempt(self.acl, "rt.set_context", self.device.context)
        lost = [one for one in held if one[0] == DESTROY_STREAM and not self._waited(one[1])]
        rest = sorted((one for one in held if one not in lost), key=lambda one: RELEASES[one[0]])
        for name, handle in (*lost, *rest):
            _attempt(self.acl, name, handle)
        self.device.leave(self)

    def _waited(self, stream: int) -> bool:
        return _attempt(self.acl, "rt.synchronize_stream", stream)


def _attempt(acl: Acl, name: str, *arguments: object) -> bool:
    """Did it succeed? If not, the reason goes into the log: the rest has to be given back."""
    try:
        acl.done(name, *arguments)
    except AclError as error:
        LOG.warning("while giving back: %s", error)
        return False
    return True
