"""Everything that can go wrong on a node, as one tree.

A message says what happened, to which port, camera or file, what was expected and what came; `hint`
says what a person can do now. Library exceptions are converted where the library is owned and never
leave that file.
"""


class EdgeError(Exception):
    """Anything this node can say went wrong; never raised itself."""

    hint = ""


class SettingsError(EdgeError):
    """edge.toml or a recipe is wrong: unknown key, missing value, out of range. Lists them all."""

    hint = "Correct the named keys and run `quanjian-edge check`."

    def __init__(self, path: str, problems: list[str], hint: str | None = None) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{path}: {len(problems)} problem(s)\n{lines}")
        self.problems = problems
        self.hint = hint or self.hint


OPTIONS_HINT = "Correct the named options; --help says what there is."
"""Of a SettingsError whose mistakes are on the command line."""


class CameraError(EdgeError):
    """No pictures: cable out, wrong address, device held by another program, file missing."""

    hint = "Check power, cable and address of the camera, or the path of a folder or file."


class ImageError(EdgeError):
    """One picture cannot be used: unreadable, wrong shape, larger than allowed."""

    hint = "Open the picture with an image viewer; save it again as 8-bit PNG or JPEG."


class ModelError(EdgeError):
    """The detector cannot be used: file missing, hash not as pinned, unknown layout or provider."""

    hint = "Correct the file or its pin (`sha256sum FILE` prints it), or install the runtime."


class PlcError(EdgeError):
    """The link to the PLC failed: port gone, wrong answer, refused request."""

    hint = "Check the cable, the port name, the baud rate and the unit number."
    code: int | None = None  # of a refusal, as the protocol numbers them; None = none came

    def __init__(self, text: str, *, refused: bool = False) -> None:
        """`refused`: the other end understood and will not do it; asking again does not help."""
        super().__init__(text)
        self.refused = refused


class PlcTimeoutError(PlcError, TimeoutError):
    """No complete answer within the allowed time: cable out, PLC in STOP, wrong baud rate; or the
    line is never silent, so that nobody can be asked."""

    hint = "Check the cable and that the PLC is in RUN."


class PlcProgramError(EdgeError):
    """A PLC program in structured text cannot run: unknown word, wrong type, index outside."""

    hint = "Correct the program where it says so; docs/plc/README.md has the words it may use."


class LedgerError(EdgeError):
    """A row could not be put on disk: full, read-only or failing. No part may be released."""

    hint = "Free space on the ledger's disk or replace it; until then every part is rejected."

    def __init__(self, text: str, *, permanent: bool = False) -> None:
        """`permanent`: the row itself is wrong (settled twice, out of range); no retry helps."""
        super().__init__(text)
        self.permanent = permanent


class CommissioningError(EdgeError):
    """A point cannot be tried: counters unreadable, status refused, a counter not to be believed.

    Its text is Chinese and whole, for the person at the line.
    """


class LinkError(EdgeError):
    """The hub or broker cannot be reached or refused us; rows wait on disk."""

    hint = "Check the network and the broker's address; nothing is lost meanwhile."


class TrainingError(EdgeError):
    """A model was not made: trainer missing or failing, pictures or model of no use."""

    hint = "Correct what is named and start again."

    def __init__(self, text: str, hint: str | None = None) -> None:
        """`hint`: what to do, where the trainer's own environment has to do with it."""
        super().__init__(text)
        self.hint = hint or self.hint
