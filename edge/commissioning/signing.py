"""Going live: what must hold, and two persons who answer for it. Pure."""

import unicodedata
from collections.abc import Mapping

from edge.commissioning.journal import GoLive, Journal, Person, sealed
from edge.commissioning.rules import Site, hindrance, standing
from edge.mqtt.message import Clock
from edge.settings import Settings


def hindrances(journal: Journal, site: Site, wiring: Settings) -> str | None:
    """Why nobody may sign yet; None = they may."""
    fault = hindrance("sign", "", journal, site)
    if fault is not None:
        return fault
    loose = unpinned(wiring)
    if loose:
        return f"edge.toml 还没有锁定 {'、'.join(loose)} 的 sha256：没有锁定的不上线"
    return None


def unpinned(wiring: Settings) -> list[str]:
    """Recipes and models that could be exchanged unseen."""
    loose = [f"配方 {one.number}" for one in wiring.recipe if one.sha256 is None]
    loose += [
        f"模型 {one.number}"
        for one in wiring.recipe
        if one.model is not None and one.model_sha256 is None
    ]
    return loose


def persons_fault(first: Person, second: Person) -> str | None:
    """Why these two may not sign; None = they may."""
    for person in (first, second):
        if not _same(person.name) or not _same(person.role):
            return "姓名和职务都要写"
    if _same(first.name) == _same(second.name):
        return f"两次都是 {first.name}：要两个不同的人签字"
    return None


def _same(name: str) -> str:
    """What two ways to write one name have in common."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def signed(
    journal: Journal,
    site: Site,
    wiring: Settings,
    persons: tuple[Person, Person],
    at: tuple[int, Clock],
) -> GoLive:
    """The sealed go-live.

    Args:
        at: UTC ms, and how good the clock is.
    """
    node = wiring.node
    return sealed(
        GoLive(
            plant=node.plant,
            line=node.line,
            node=node.name,
            at_ms=at[0],
            clock=at[1],
            first=persons[0],
            second=persons[1],
            made_with=dict(site.now),
            records=standing(journal, site),
        )
    )


def differences(going: GoLive, now: Mapping[str, str]) -> list[str]:
    """Keys of what is not as it was commissioned; new things are a difference of the wiring."""
    keys = {
        key: None
        for key in (*going.made_with, *now)
        if not key.startswith(("camera ", "plc ", "scale "))
    }
    return [key for key in keys if going.made_with.get(key) != now.get(key)]
