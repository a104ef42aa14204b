"""The application: addresses, and what each takes and gives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.recommender import Recommender
from playlist_pipeline.serving import schemas
from playlist_pipeline.serving.exports import FORMATS, find_suffix, write_playlist
from playlist_pipeline.serving.guard import Guard
from playlist_pipeline.serving.problems import Problem, clean_text, explain_invalid
from playlist_pipeline.serving.schemas import MAX_FOUND, MAX_RECOMMENDED, MAX_TEXT, TRACK
from playlist_pipeline.serving.service import Service
from playlist_pipeline.serving.settings import ServerSettings

STATIC = Path(__file__).parent / "static"
DESCRIPTION = "Search tracks, complete playlists, and see why a track was chosen. Errors have one form, Problem."
ERRORS: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "A part of the request cannot be used."},
    503: {"model": Problem, "description": "Too many requests are waiting."},
    504: {"model": Problem, "description": "The request took too long."},
}
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is no JSON."},
    413: {"model": Problem, "description": "The body is too large."},
    415: {"model": Problem, "description": "The body is not declared as JSON."},
    **ERRORS,
}


def create_app(recommender: Recommender, settings: ServerSettings | None = None) -> FastAPI:
    """Make the application that serves the page and the API.

    Args:
        recommender: The model with its catalog; all requests share it.
        settings: The limits; by default those of :class:`ServerSettings`.

    Returns:
        An ASGI application.
    """
    service = Service(recommender, settings or ServerSettings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="playlist_pipeline",
        description=DESCRIPTION,
        version=version("playlist_pipeline"),
        # The pages that come with FastAPI load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, settings=settings or ServerSettings())
    _handle_errors(app)
    _add_api(app, service)
    _add_pages(app)
    return app


def _handle_errors(app: FastAPI) -> None:
    def answer(status: int, problem: Problem, headers: Any = None) -> Response:
        return JSONResponse(problem.model_dump(), status, headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(request: Request, error: RequestValidationError) -> Response:
        status = 400 if error.errors()[0]["type"] == "json_invalid" else 422
        return answer(status, explain_invalid(error.errors(), request.url.path))

    @app.exception_handler(UserError)
    async def refuse_unusable(request: Request, error: UserError) -> Response:
        problem = Problem(
            what=clean_text(str(error)), where=request.url.path, advice="Change what the line names, and try again."
        )
        return answer(422, problem)

    @app.exception_handler(HTTPException)
    async def refuse_address(request: Request, error: HTTPException) -> Response:
        problem = Problem(
            what=clean_text(str(error.detail).lower()),
            where=clean_text(f"{request.method} {request.url.path}"),
            advice="See /docs for the addresses and what each takes.",
        )
        return answer(error.status_code, problem, error.headers)


def _add_api(app: FastAPI, service: Service) -> None:
    @app.get("/api/search", responses=ERRORS, tags=["tracks"], operation_id="search")
    async def search(
        q: Annotated[
            str,
            Query(
                min_length=1,
                max_length=MAX_TEXT,
                description="Words of title, artist and album, the last one perhaps only begun; or a URI or a link.",
                examples=["rotating sys"],
            ),
        ],
        limit: Annotated[int, Query(ge=1, le=MAX_FOUND, description="Most tracks to return.")] = 10,
    ) -> schemas.SearchAnswer:
        """Look for tracks by text, the best match first."""
        return {"tracks": await service.search(q, limit)}  # type: ignore[return-value]

    @app.post("/api/resolve", responses=BODY_ERRORS, tags=["tracks"], operation_id="resolve")
    async def resolve(request: schemas.ResolutionRequest) -> schemas.Resolution:
        """Find the tracks that lines name, such as pasted URIs and links; lines that name none are listed with why."""
        return await service.resolve(request.lines)  # type: ignore[return-value]

    @app.get("/api/similar", responses=ERRORS, tags=["tracks"], operation_id="similar")
    async def similar(
        track: Annotated[str, Query(min_length=1, max_length=MAX_TEXT, description=TRACK)],
        k: Annotated[int, Query(ge=1, le=MAX_RECOMMENDED, description="How many tracks.")] = 10,
    ) -> schemas.RankedAnswer:
        """Return the tracks most similar to one, by the model's vectors."""
        return {"tracks": await service.similar(track, k)}  # type: ignore[return-value]

    @app.post("/api/complete", responses=BODY_ERRORS, tags=["playlists"], operation_id="complete")
    async def complete(request: schemas.CompletionRequest) -> schemas.Playlist:
        """Complete a playlist. With locked tracks: keep those at their places and draw the others anew."""
        return await service.complete(request)  # type: ignore[return-value]

    @app.post("/api/recommend", responses=BODY_ERRORS, tags=["playlists"], operation_id="recommend")
    async def recommend(request: schemas.RecommendationRequest) -> schemas.RankedAnswer:
        """Return the tracks that fit best after the seeds. Controls of sampling, length and order have no say."""
        return {"tracks": await service.recommend(request)}  # type: ignore[return-value]

    @app.post("/api/explain", responses=BODY_ERRORS, tags=["playlists"], operation_id="explain")
    async def explain(request: schemas.ExplanationRequest) -> schemas.Explanation:
        """Say how a track stands to each seed: how similar, and in how many training playlists both stand."""
        return {"seeds": await service.explain(request.track, request.seeds)}  # type: ignore[return-value]

    @app.post(
        "/api/export/{format}",
        responses=BODY_ERRORS | {200: {"content": {format_.media_type: {} for format_ in FORMATS.values()}}},
        response_class=Response,
        tags=["playlists"],
        operation_id="export",
    )
    def export(format: Literal[tuple(FORMATS)], request: schemas.ExportRequest) -> Response:  # type: ignore[valid-type]
        """Write a playlist in a format."""
        chosen = FORMATS[format]
        headers = {"content-disposition": f'attachment; filename="playlist{find_suffix(format)}"'}
        return Response(write_playlist(request.model_dump(), format), headers=headers, media_type=chosen.media_type)

    @app.get("/api/info", tags=["server"], operation_id="info")
    async def info() -> schemas.Info:
        """Say what is served, and what is allowed."""
        return service.describe()  # type: ignore[return-value]

    @app.get("/health", tags=["server"], operation_id="health")
    async def health() -> schemas.Health:
        """Say that the server lives."""
        return schemas.Health(status="ok")


def _add_pages(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def show_documentation() -> Response:
        return FileResponse(STATIC / "docs.html")
