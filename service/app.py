"""The application: routes, the gate around them, and what starts and ends with it."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from ..errors import RankwiseError, StoreUnreachable, UsageError
from ..fleet.cluster import check_cluster, open_cluster
from ..fleet.dispatcher import Dispatcher
from ..fleet.routing import ON_DEVICES
from ..jobs.artifacts import ArtifactStore
from ..jobs.requests import JOB_TYPES, REQUESTS
from ..jobs.sharing import SHARED, Sharer
from ..version import __version__
from ..workflow.store import open_store
from . import artifact_routes, fleet_routes, job_routes, reports, results
from .context import REFUSALS, Context, ContextDep
from .models import Login, Session
from .scheduler import Both, RunsJobs, Scheduler
from .security import COOKIE, SESSION_S, SecurityMiddleware, Sessions
from .settings import Settings, absolute_db
from .tables import Tables

STATIC = Path(__file__).parent / "static"
KEPT = "no-cache"
"""Of scripts and styles: browsers keep them, and ask each time whether they have changed."""
NICER = 5
"""How much lower the priority of answering is than that of measuring."""

session_router = APIRouter(responses=REFUSALS)


@session_router.get("/session")
def session(here: ContextDep, request: Request) -> Session:
    """Whether a token is needed, and whether the caller has shown it."""
    admitted = here.sessions.admitted(request.headers)
    return Session(
        needed=here.sessions.needed,
        admitted=admitted,
        version=__version__,
        fleet=here.fleet is not None,
    )


@session_router.post("/session", status_code=204)
def log_in(here: ContextDep, login: Login) -> Response:
    """Exchange the token for a cookie that scripts cannot read and other sites cannot send."""
    if not here.sessions.right_token(login.token):
        return JSONResponse({"detail": "this is not the token"}, 401)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        here.sessions.new_cookie(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        path="/",
    )
    return response


@session_router.delete("/session", status_code=204)
def log_out() -> Response:
    """Forget the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


class PageFiles(StaticFiles):
    """Scripts and styles, which are the same for everybody."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = KEPT
        return response


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application. Raises `UsageError` for unsafe settings."""
    settings.check()
    if settings.cluster is not None:
        check_cluster(settings.cluster, settings.db)
    sessions = Sessions(settings.token)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        context = _start(settings, sessions)
        app.state.context = context
        yield
        context.stopping.set()
        context.scheduler.stop()
        context.store.close()

    app = FastAPI(
        title="rankwise",
        version=__version__,
        summary="Which layers does low-rank decomposition really make faster on this device?",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    for router in (
        session_router,
        artifact_routes.router,
        job_routes.router,
        fleet_routes.router,
        results.router,
        reports.router,
    ):
        app.include_router(router, prefix="/api/v1")
    _add_errors(app)
    _add_page(app)
    app.add_middleware(SecurityMiddleware, settings=settings, sessions=sessions)
    return app


def _start(settings: Settings, sessions: Sessions) -> Context:
    """The scheduler's thread starts before this thread becomes less important: threads and
    processes inherit, and those that measure must not."""
    db = absolute_db(settings.db)
    store = open_store(db)
    artifacts = ArtifactStore.beside(db)
    artifacts.clean()
    scheduler, fleet = _runners(settings, store, artifacts, db)
    tables = Tables(store, lambda: scheduler.running is not None)
    context = Context(settings, store, artifacts, scheduler, tables, sessions, fleet)
    context.submit("devices", REQUESTS["devices"]())
    scheduler.start()
    lower_priority()
    return context


def _runners(
    settings: Settings, store: Any, artifacts: ArtifactStore, db: str
) -> tuple[RunsJobs, Dispatcher | None]:
    """Who does the jobs; and who speaks with the fleet, if there is one. Raises `UsageError`."""
    if settings.cluster is None:
        return Scheduler(store, artifacts, db), None
    cluster = open_cluster(settings.cluster, db, artifacts.folder)
    fleet = Dispatcher(store, artifacts, cluster)
    here = [kind for kind in JOB_TYPES if kind not in (*ON_DEVICES, SHARED)]
    sharer = Sharer(store, fleet.wake)
    return Both(fleet, Scheduler(store, artifacts, db, here), sharer), fleet


def lower_priority() -> None:
    """Let this thread, and what it starts from now on, take turns after those that measure,
    and never push one of them off its core (SCHED_BATCH). Not on every system."""
    with suppress(OSError, AttributeError):
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICER)
        os.sched_setscheduler(me, os.SCHED_BATCH, os.sched_param(0))


def status_of(error: RankwiseError) -> int:
    """Wrong use, a store that is away for a while, or nothing that is possible now."""
    if isinstance(error, StoreUnreachable):
        return 503
    return 422 if isinstance(error, UsageError) else 409


def _add_errors(app: FastAPI) -> None:
    """Every refusal is one sentence."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where, *names = first["loc"]
        if not names or where not in ("body", "query", "path"):
            names = [where, *names]
        place = ".".join(map(str, names))
        return JSONResponse({"detail": f"{place}: {first['msg']}"}, 422)

    @app.exception_handler(RankwiseError)
    async def refused(_request: Request, error: RankwiseError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_of(error))


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html")

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")

    app.mount("/static", PageFiles(directory=STATIC), name="static")
