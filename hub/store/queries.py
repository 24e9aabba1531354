"""The named queries of the .sql files beside this one. No IO beyond reading them once."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from hub.errors import StoreError

_HEADER = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One query: what it answers, in words, and its SQL with %(name)s parameters."""

    name: str
    description: str
    sql: str


def parse(text: str) -> dict[str, Query]:
    """Cut a file of `-- name: NAME`, comment lines that describe it, and one statement each.

    Raises:
        StoreError: a name is used twice, or a query has no description or no SQL.
    """
    parts = _HEADER.split(text)[1:]
    found: dict[str, Query] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        comments = [line for line in lines if line.startswith("--")]
        description = " ".join(line.removeprefix("--").strip() for line in comments)
        sql = "\n".join(line for line in lines if not line.startswith("--")).strip()
        if name in found or not description or not sql:
            raise StoreError(f"query {name}: expected one description and one statement")
        found[name] = Query(name, description, sql)
    return found


@cache
def all_queries() -> dict[str, Query]:
    """Every query of the hub by name."""
    sources = sorted(
        (file for file in files("hub.store").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    return parse("\n".join(file.read_text(encoding="utf-8") for file in sources))


def query(name: str) -> Query:
    """One query.

    Raises:
        StoreError: no query has this name.
    """
    try:
        return all_queries()[name]
    except KeyError as wrong:
        raise StoreError(f"no query is named {name!r}") from wrong
