"""What the gate does with requests for certificates: takes them, and says what became of them.

Nothing is signed here: `duties` alone has the authority's key. A request is known by the sha256 of
its bytes, so that a node whose answer got lost asks again with the same bytes and gets the same.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from hub import authority
from hub.errors import AuthorityError
from hub.store.pool import Store

RENEWALS_A_DAY = 50
"""Of one node: one that gets no answer asks once an hour, each time for a new key."""


class RefusedError(AuthorityError):
    """The gate does not take a request. Strangers learn no more than that."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and whose it is, both PEM."""

    certificate: str
    ca: str


def enrolled(store: Store, node: str, request: bytes, proof: str) -> str:
    """Take a node's first request; returns what to ask by.

    Raises:
        RefusedError: no token of this node, too late, a wrong proof, a token that was used.
        AuthorityError: the token is right and the request is none for this node.
        StoreError: try again later.
    """
    token = store.first("enrolment_of", node=node)
    if token is None:
        raise RefusedError(f"no token waits for {node!r}")
    if not hmac.compare_digest(authority.proof(token["token_hash"], request), proof):
        raise RefusedError(f"a proof for {node} is wrong: another token, or another request")
    authority.requested(request, node)
    digest = hashlib.sha256(request).hexdigest()
    known = store.first("signing_known", node=node, csr_sha256=digest)
    if known is not None:
        return str(known["request"])
    taken = store.first(
        "enrolment_used",
        node=node,
        token_hash=token["token_hash"],
        request=secrets.token_hex(32),
        csr=request,
        csr_sha256=digest,
    )
    if taken is not None:
        return str(taken["request"])
    if token["used_at"] is None and token["over"]:
        raise RefusedError(f"the token of {node} is over: `quanjian-hub node enrol` makes another")
    known = store.first("signing_known", node=node, csr_sha256=digest)
    if known is not None:  # the same bytes came twice at once
        return str(known["request"])
    store.rows("enrolment_reused", node=node)
    raise RefusedError(f"a used token of {node} was shown again, for another request")


def renewed(
    store: Store, node: str, request: bytes, certificate: bytes, signature: bytes, now: datetime
) -> str:
    """Take a request that is signed by the node's current key; returns what to ask by.

    Raises:
        RefusedError: a certificate that we did not sign for this node, that is revoked or over, a
            signature that is not of its key, or too many requests in a day.
        AuthorityError: the request is none for this node. StoreError: try again later.
    """
    sha256 = authority.fingerprint(certificate)
    known = store.first("certificate_known", sha256=sha256)
    if known is None or known["node"] != node:
        raise RefusedError(f"a certificate that is none of {node!r} asked for its next")
    if known["revoked"]:
        raise RefusedError(f"a revoked certificate of {node} asked for its next")
    if known["not_after"] < now:
        raise RefusedError(f"the certificate of {node} is over: the node has to enrol anew")
    if not authority.signed_by(certificate, request, signature):
        raise RefusedError(f"a request of {node} is not signed by its current key")
    authority.requested(request, node)
    digest = hashlib.sha256(request).hexdigest()
    again = store.first("signing_known", node=node, csr_sha256=digest)
    if again is not None:
        return str(again["request"])
    taken = store.first(
        "renewal_requested",
        node=node,
        sha256=sha256,
        most=RENEWALS_A_DAY,
        request=secrets.token_hex(32),
        csr=request,
        csr_sha256=digest,
    )
    if taken is None:
        most = f"asked for {RENEWALS_A_DAY} certificates in a day"
        raise RefusedError(f"{node} {most}, or was revoked this moment")
    return str(taken["request"])


def answer(store: Store, request: str) -> Signed | None:
    """What became of a request; None while it waits.

    Raises:
        RefusedError: nobody asked that, or it is not signed. StoreError: try again later.
    """
    row = store.first("signing_state", request=request)
    if row is None:
        raise RefusedError("nobody asked that")
    if row["refused"] is not None:
        raise RefusedError(str(row["refused"]))
    if row["certificate"] is None:
        return None
    return Signed(row["certificate"], row["authority"])
