"""Everything that can go wrong at the hub, as one tree.

A message says what happened, to which database, broker or file, what was expected and what came;
`hint` says what a person can do now. Library exceptions are converted where the library is owned.
"""


class HubError(Exception):
    """Anything the hub can say went wrong; never raised itself."""

    hint = ""


class SettingsError(HubError):
    """hub.toml is wrong: unknown key, missing value, out of range. Lists every mistake."""

    hint = "Correct the named keys; docs/reference.md lists them all."

    def __init__(self, path: str, problems: list[str], hint: str | None = None) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{path}: {len(problems)} problem(s)\n{lines}")
        self.problems = problems
        self.hint = hint or self.hint


OPTIONS_HINT = "Correct the named options; --help says what there is."
"""Of a SettingsError whose mistakes are on the command line."""


class StoreError(HubError):
    """Database away, damaged, not migrated, refusing us, its clock wrong; nothing was committed."""

    hint = "Check PostgreSQL, [database] dsn and its user's rights, and run `quanjian-hub migrate`."


class StatementError(StoreError):
    """The database is there but refuses what it was given: bad value, broken constraint."""

    hint = "Look at the table `refused` or `quarantine`; report it, the hub should have seen it."


class MigrationError(StoreError):
    """The schema is newer than this program, or an applied migration file was edited since."""

    hint = "Install the version that wrote this schema, or restore the migration file."


class ServerError(HubError):
    """The embedded PostgreSQL does not start or stop: no binaries, disk full, wrong owner."""

    hint = "Read the log the message names, or give a PostgreSQL of your own by [database] dsn."


class BrokerError(HubError):
    """The MQTT broker cannot be reached or refused us; nodes keep their rows meanwhile."""

    hint = "Check that the broker runs and that [broker] in hub.toml is right."


class RegistryError(HubError):
    """A node cannot be added or revoked: bad name, name taken, not known."""

    hint = "Names are 1 to 32 of a-z, 0-9 and '-'; `quanjian-hub node list` shows the known ones."


class DemoError(HubError):
    """The demo cannot run: a part did not start, died, or the ledger did not balance."""

    hint = "Read the log files the message names."


class PictureError(HubError):
    """A picture cannot be kept: disk full or failing, folder not ours. Rows are not affected."""

    hint = "[web] pictures_dir: is its disk mounted, is there space, may the hub write there?"


class ArchiveError(HubError):
    """A week of rows could not be archived; it stays in the database until it can."""

    hint = "[retention] archive_dir: is it mounted, space, rights? Nothing was dropped."


class HoldError(HubError):
    """Rows cannot be held: they have left the database."""

    hint = "The rows are in the named files of [retention] archive_dir."


class BackupError(HubError):
    """A backup was not made, is not whole, or cannot be restored here."""

    hint = "Correct what is named and start again; a database that was there is as it was."


class AuthorityError(HubError):
    """A certificate, key or request is none, is not ours, or may not be signed; or their files."""

    hint = (
        "Check the files of [authority] and [nodes] in hub.toml; the node makes its request anew "
        "by `enrol`."
    )

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.hint = hint or self.hint
