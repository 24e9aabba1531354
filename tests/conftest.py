"""Peers that several test files share; each plugin owns one kind of peer."""

pytest_plugins = ["tests.postgres_peer"]
