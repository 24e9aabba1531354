"""Errors as people read them: a sentence in their language and what to do, never a traceback.

A program (a node that sends pictures, a report fetched as JSON) gets the same as one JSON object.
"""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from hub.errors import StoreError
from hub.web.asked import Problem, WrongQueryError
from hub.web.page import Pages, language_of
from hub.web.words import sayer

log = logging.getLogger(__name__)


def install(app: FastAPI, pages: Pages) -> None:
    """Let `app` answer every error by a page or a JSON object of ours."""

    def refuse(request: Request, status: int, problems: list[Problem]) -> Response:
        kind = str(status if status in (404, 405, 422, 503) else 404 if status < 500 else 500)
        say = sayer(language_of(request))
        if "text/html" in request.headers.get("accept", ""):
            return pages.page(request, "refusal.html", status=status, kind=kind, problems=problems)
        told = [say(key, **values) for key, values in problems]
        return JSONResponse({"error": say(f"refusal.{kind}"), "problems": told}, status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, wrong: HTTPException) -> Response:
        answer = refuse(request, wrong.status_code, [])
        answer.headers.update(wrong.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def wrong_path(request: Request, wrong: RequestValidationError) -> Response:
        named = [str(error["loc"][-1]) for error in wrong.errors() if error.get("loc")]
        return refuse(request, 422, [("asked.wrong", {"key": key}) for key in named])

    @app.exception_handler(WrongQueryError)
    async def wrong_query(request: Request, wrong: WrongQueryError) -> Response:
        return refuse(request, 422, wrong.problems)

    @app.exception_handler(StoreError)
    async def store_away(request: Request, wrong: StoreError) -> Response:
        log.error("%s: %s; %s", request.url.path, wrong, wrong.hint)
        answer = refuse(request, 503, [])
        answer.headers["retry-after"] = "5"
        return answer

    @app.exception_handler(Exception)
    async def failed(request: Request, wrong: Exception) -> Response:
        # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
        return refuse(request, 500, [])
