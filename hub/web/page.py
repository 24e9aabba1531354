"""Turns values into a page in the reader's language: Jinja, filters, the language switch.

Everything a page shows goes through autoescape; nothing is marked safe but what templates write.
"""

from collections.abc import Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge.terms import Code
from hub.web.words import HTML_LANGUAGE, LANGUAGES, Language, say_or, sayer

FOLDER = Path(__file__).parent
COOKIE = "language"
_YEAR_S = 365 * 24 * 3600

VERDICTS = {Code.UNDEFINED: "undefined", Code.OK: "ok", Code.NG: "ng", Code.UNDECIDED: "undecided"}
"""A code's word: the key in `words` and the class in the style sheet."""


class Pages:
    """Renders templates; holds no state but the environments, one per language."""

    def __init__(self, timezone_name: str) -> None:
        self.zone = ZoneInfo(timezone_name)
        self._environments = {language: self._environment(language) for language in LANGUAGES}

    def page(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A whole page as the answer to `request`; `status` is the HTTP status."""
        language = language_of(request)
        asked = request.query_params
        other: Language = "en" if language == "zh" else "zh"
        body = self.fragment(
            language,
            template,
            path=request.url.path,
            other_language="?" + urlencode({**asked, "lang": other}),
            status=status,
            **values,
        )
        answer = HTMLResponse(body, status)
        if asked.get("lang") in LANGUAGES:
            answer.set_cookie(COOKIE, language, _YEAR_S, httponly=True, samesite="lax")
        return answer

    def fragment(self, language: Language, template: str, **values: Any) -> str:
        """One template in one language."""
        return self._environments[language].get_template(template).render(values)

    def local(self, moment: datetime) -> datetime:
        """An aware time in the plant's zone."""
        return moment.astimezone(self.zone)

    def _environment(self, language: Language) -> Environment:
        say = sayer(language)
        environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(
            say=say,
            say_or=lambda group, word: say_or(say, group, word),
            html_language=HTML_LANGUAGE[language],
            verdicts=VERDICTS,
            zone_name=self.zone.key,
        )
        environment.filters.update(
            count=count,
            percent=percent,
            query=query,
            clock=lambda at: f"{self.local(at):%H:%M:%S}",
            minute=lambda at: f"{self.local(at):%H:%M}",
            day=lambda at: f"{self.local(at):%Y-%m-%d}",
            field=lambda at: f"{self.local(at):%Y-%m-%dT%H:%M}",
            moment=lambda at: moment(self.local(at)),
            short=lambda sha256: sha256[:8],
            epoch_ms=lambda at: round(at.timestamp() * 1000),
        )
        return environment


def language_of(request: Request) -> Language:
    """?lang= first, then the cookie, then Chinese."""
    for given in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        for language in LANGUAGES:
            if given == language:
                return language
    return "zh"


def now_utc() -> datetime:
    """The wall clock, aware UTC: pages show times of day."""
    return datetime.now(timezone.utc)


def count(value: int | None) -> str:
    """12345 as 12,345; a dash for what is not known."""
    return "—" if value is None else f"{value:,}"


def percent(value: float | None, digits: int = 2) -> str:
    """0.0123 as 1.23%; a dash for what is not known."""
    return "—" if value is None else f"{value * 100:.{digits}f}%"


def moment(at: datetime) -> str:
    """A local time with its day and milliseconds."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def query(values: Mapping[str, object]) -> str:
    """A query string of what is set: '?a=1&b=2'."""
    kept = {
        key: value.isoformat() if isinstance(value, date) else value
        for key, value in values.items()
        if value not in (None, "")
    }
    return "?" + urlencode(kept)
