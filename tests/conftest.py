"""Peers that several test files share; each plugin owns one kind of peer."""

pytest_plugins = ["tests.loopback_peer", "tests.postgres_peer"]
