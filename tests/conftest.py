"""Peers that several test files share; each plugin owns one kind of peer."""

pytest_plugins = [
    "tests.chromium_peer",
    "tests.gige_peer",
    "tests.loopback_peer",
    "tests.ingest_peer",  # after the peers it uses
    "tests.played_hub",
    "tests.postgres_peer",
]
