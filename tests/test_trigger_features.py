"""What starts a frame, on paper: a camera with several triggers, as SFNC has them."""

import pytest

from edge.errors import CameraError
from edge.terms import TriggerMode
from edge.vision.features import Value, set_trigger


class PaperCamera:
    """Its triggers are the settings of TriggerSelector; each has its own mode and source."""

    source = "gige:paper"

    def __init__(self, *selectors: str) -> None:
        self.selectors = selectors
        self.chosen = selectors[0] if selectors else ""
        self.triggers: dict[str, dict[str, Value]] = {
            name: {"TriggerMode": "On", "TriggerSource": "Line3"} for name in selectors or ("",)
        }

    def has(self, name: str) -> bool:
        return name != "AcquisitionMode" and (name != "TriggerSelector" or bool(self.selectors))

    def get(self, name: str) -> Value:
        return self.chosen if name == "TriggerSelector" else self.triggers[self.chosen][name]

    def set(self, name: str, value: Value) -> None:
        if name == "TriggerSelector":
            self.chosen = str(value)
        else:
            self.triggers[self.chosen][name] = value

    def limits(self, name: str) -> tuple[float, float, float]:
        raise AssertionError(name)

    def choices(self, name: str) -> tuple[str, ...]:
        return self.selectors if name == "TriggerSelector" else ("Software", "Line0", "Line3")

    def run(self, name: str) -> None:
        raise AssertionError(name)

    def modes(self) -> dict[str, Value]:
        return {name: trigger["TriggerMode"] for name, trigger in self.triggers.items()}


@pytest.mark.parametrize("mode", ["free_run", "software", "hardware"])
def test_the_encoders_rows_of_a_line_scan_camera_stay_as_they_were_set_up(
    mode: TriggerMode,
) -> None:
    camera = PaperCamera("FrameStart", "AcquisitionStart", "LineStart")
    set_trigger(camera, mode, "Line0")
    assert camera.triggers["LineStart"] == {"TriggerMode": "On", "TriggerSource": "Line3"}
    frames = "Off" if mode == "free_run" else "On"
    assert camera.modes() == {
        "FrameStart": frames, "AcquisitionStart": "Off", "LineStart": "On",
    }  # fmt: skip


def test_a_camera_with_one_trigger_has_it_off_in_free_run() -> None:
    camera = PaperCamera()
    set_trigger(camera, "free_run", None)
    assert camera.modes() == {"": "Off"}


def test_hardware_and_software_name_their_source() -> None:
    for mode, source in (("hardware", "Line0"), ("software", "Software")):
        camera = PaperCamera("AcquisitionStart", "FrameStart")
        set_trigger(camera, mode, "Line0")  # type: ignore[arg-type]
        assert camera.triggers["FrameStart"] == {"TriggerMode": "On", "TriggerSource": source}


def test_an_input_that_the_camera_does_not_have_is_named() -> None:
    with pytest.raises(CameraError, match=r"TriggerSource cannot be Line9"):
        set_trigger(PaperCamera("FrameStart"), "hardware", "Line9")
