"""The sections of a recipe file, as frozen structs: what each key takes. Pure; no judgement here.

`edge.recipe` puts them together into one Recipe and judges by them; the cameras, the image checks
and the detectors take theirs.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge.terms import Code

Score = Annotated[float, Meta(gt=0, le=1)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]
CameraName = Annotated[str, Meta(pattern="^[a-z0-9-]{1,32}$", description="1 to 32 of a-z, 0-9, -")]
Pixel = Annotated[float, Meta(ge=0, le=100_000)]
FileName = Annotated[str, Meta(min_length=1, max_length=500)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hex digits")]
Count = Annotated[int, Meta(ge=0, le=100_000)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a recipe."""


class ImageLimits(Section, frozen=True, kw_only=True):
    """[image] when a picture cannot be judged at all; see edge.vision.quality."""

    dark_below: Annotated[float, Meta(ge=0, le=255)] = 12.0  # mean grey value
    saturated_share: Annotated[float, Meta(gt=0, le=1)] = 0.35  # share of pixels at 255
    frozen: bool = True  # refuse a picture identical to an earlier one
    # the two below compare with the view's `reference` picture
    sharpness_share: Annotated[float, Meta(gt=0, le=1)] | None = None  # less sharp: defocused
    shift_px: Annotated[float, Meta(gt=0)] | None = None  # farther from its place: moved


class Motion(Section, frozen=True, kw_only=True):
    """[motion] how far a moving part may be from its place when its picture is taken."""

    margin_mm: Annotated[float, Meta(gt=0)] | None = None  # displacement the region still allows
    blur_px: Annotated[float, Meta(gt=0)] = 1.0  # way of the part during the exposure


class Strobe(Section, frozen=True, kw_only=True):
    """[view.strobe] the camera's output that fires the lamp; times from the start of exposure."""

    polarity: Literal["high", "low"] = "high"  # level of the output while the lamp is on
    delay_us: Annotated[float, Meta(ge=-10_000, le=10_000)] = 0.0  # negative: lamp before exposure
    width_us: Annotated[float, Meta(gt=0, le=1_000_000)]


class Light(Section, frozen=True, kw_only=True):
    """[[view.light]] brightness of one channel of the light controller."""

    channel: Annotated[int, Meta(ge=1, le=32)]
    brightness: Annotated[int, Meta(ge=0, le=255)]


class View(Section, frozen=True, kw_only=True):
    """[[view]] how one camera must be set for this product."""

    camera: CameraName
    exposure_us: Annotated[float, Meta(gt=0, le=10_000_000)] | None = None  # None: as it is
    gain_db: Annotated[float, Meta(ge=0, le=48)] | None = None
    # left, top, width, height of the sensor's px that are read out; boxes count from its corner
    region: tuple[Count, Count, Count, Count] | None = None
    strobe: Strobe | None = None
    light: tuple[Light, ...] = ()
    reference: str | None = None  # picture of a good part, sharp and in place; recipe's folder
    reference_sha256: Sha256 | None = None  # pins it

    def __post_init__(self) -> None:
        if self.reference_sha256 is not None and self.reference is None:
            raise ValueError("reference_sha256 means nothing without reference")
        if self.region is not None and min(self.region[2:]) < 1:
            raise ValueError(f"region {list(self.region)} has no area")
        if self.strobe is not None:
            self._check_strobe(self.strobe)
        channels = [light.channel for light in self.light]
        if len(set(channels)) < len(channels):
            raise ValueError(f"light: a channel stands twice in {channels}")

    def _check_strobe(self, strobe: Strobe) -> None:
        """The whole exposure must be lit, or rows and parts differ in brightness."""
        if self.exposure_us is None:
            raise ValueError("strobe: needs exposure_us, which has to lie inside it")
        lit_until_us = strobe.delay_us + strobe.width_us
        if strobe.delay_us > 0 or lit_until_us < self.exposure_us:
            raise ValueError(
                f"strobe: the lamp is on from {strobe.delay_us:g} to {lit_until_us:g} us, but the "
                f"exposure lasts from 0 to {self.exposure_us:g} us: it must lie inside"
            )


class ClassLimits(Section, frozen=True, kw_only=True):
    """[[class]] the limits of one kind of defect."""

    label: Label
    name: Annotated[str, Meta(max_length=50)] = ""  # what the station page calls it
    threshold: Score
    undecided_from: Score | None = None  # None = no band
    min_size_px: Annotated[float, Meta(ge=0)] = 0.0  # longer side of the box
    min_size_mm: Annotated[float, Meta(ge=0)] = 0.0  # the same in mm, where calibrated
    min_area_mm2: Annotated[float, Meta(ge=0)] = 0.0  # of a segmented defect
    allowed: Count = 0  # so many on one part do not make it NG

    def __post_init__(self) -> None:
        if self.undecided_from is not None and self.undecided_from > self.threshold:
            raise ValueError(
                f"undecided_from {self.undecided_from} is above threshold {self.threshold}"
            )

    @property
    def lowest_score(self) -> float:
        """The score from which a detection is not simply passed over."""
        return self.threshold if self.undecided_from is None else self.undecided_from


class Zone(Section, frozen=True, kw_only=True):
    """[[zone]] a polygon in a view where other rules hold; px of the picture that is judged."""

    name: Label
    kind: Literal["forbidden", "tolerant", "ignored"]
    camera: CameraName | None = None  # None: every view
    polygon: Annotated[tuple[tuple[Pixel, Pixel], ...], Meta(min_length=3, max_length=1000)]
    labels: tuple[Label, ...] = ()  # (): every class
    min_size_px: Annotated[float, Meta(ge=0)] = 0.0  # tolerant: these take the class's place
    min_size_mm: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        has_sizes = self.min_size_px > 0 or self.min_size_mm > 0
        if self.kind == "tolerant" and not has_sizes:
            raise ValueError("a tolerant zone needs min_size_px or min_size_mm: what it tolerates")
        if self.kind != "tolerant" and has_sizes:
            raise ValueError(f"min_size_px and min_size_mm mean nothing in a {self.kind} zone")


class TemplateLimits(Section, frozen=True, kw_only=True):
    """[[template]] comparison of a camera's frames with pictures of good parts."""

    camera: CameraName | None = None  # None: every view
    # of good parts in their place, in the recipe's folder; a part must differ from all of them
    pictures: Annotated[tuple[FileName, ...], Meta(min_length=1, max_length=100)]
    sha256: Annotated[tuple[Sha256, ...], Meta(max_length=100)] = ()  # pins, one per picture
    label: Label = "difference"
    tolerance_px: Annotated[int, Meta(ge=0, le=20)] = 2  # an edge may lie so far from its place
    contrast: Annotated[float, Meta(ge=1, le=255)] = 50.0  # grey values; this much scores 0.5
    min_size_px: Annotated[float, Meta(ge=0)] = 3.0  # longer side of the box
    max_shift_px: Annotated[float, Meta(ge=0, le=1000)] = 20.0  # farther away: bad_image
    confirms: bool = False  # the model's detections are weighed by the differences
    margin_px: Annotated[float, Meta(ge=0, le=1000)] = 0.0  # confirms: around what differs

    def __post_init__(self) -> None:
        if self.sha256 and len(self.sha256) != len(self.pictures):
            raise ValueError(f"{len(self.sha256)} sha256 for {len(self.pictures)} pictures")
        if self.margin_px > 0 and not self.confirms:
            raise ValueError("margin_px means nothing without confirms = true")


class AnomalyModel(Section, frozen=True, kw_only=True):
    """[[anomaly]] a model of what good parts look like, from `quanjian-models anomaly`."""

    camera: CameraName | None = None  # None: every view
    file: FileName  # in the recipe's folder
    sha256: Sha256 | None = None  # pins it


class Stop(Section, frozen=True, kw_only=True):
    """[stop] when so many bad parts mean that the line must be stopped, not sorted."""

    consecutive_ng: Annotated[int, Meta(ge=2, le=10_000)] | None = None
    ng_share: Annotated[float, Meta(gt=0, lt=1)] | None = None  # of the last `of_parts`
    of_parts: Annotated[int, Meta(ge=10, le=10_000)] = 100


class Tiles(Section, frozen=True, kw_only=True):
    """[tiles] look at a large picture in pieces of the model's own size: nothing shrinks."""

    # >= the largest defect; None: 20 % of a tile
    overlap_px: Annotated[int, Meta(ge=1, le=8192)] | None = None
    scale: Annotated[float, Meta(ge=0.1, le=4)] = 1.0  # the model's px per px of the picture


class Spots(Section, frozen=True, kw_only=True):
    """[spots] what stands out from its surroundings, on uniform material."""

    contrast: Annotated[float, Meta(ge=1, le=255)] = 20.0  # grey values off the local mean
    smallest_px: Annotated[int, Meta(ge=2, le=1000)] = 4  # of a defect that must be found
    largest_px: Annotated[int, Meta(ge=4, le=512)] = 64  # the local mean is taken far wider
    role: Literal["detector", "screen"] = "detector"  # screen: where the model has to look

    def __post_init__(self) -> None:
        if self.smallest_px > self.largest_px:
            raise ValueError(
                f"smallest_px {self.smallest_px} is above largest_px {self.largest_px}"
            )


class Web(Section, frozen=True, kw_only=True):
    """[web] continuous material under a line-scan camera whose rows an encoder triggers."""

    camera: CameraName
    rows_per_mm: Annotated[float, Meta(gt=0, le=1000)]  # encoder pulses that fire a row
    square_share: Annotated[float, Meta(gt=0, le=0.5)] = 0.02  # px may be so far from square
    overlap_mm: Annotated[float, Meta(gt=0, le=1000)]  # >= the largest defect along the web
    interval_mm: Annotated[float, Meta(ge=10, le=100_000)] = 1000.0  # one self-counted part
    speed_m_min: Annotated[float, Meta(gt=0, le=3000)]  # highest speed of the line
    row_counter: bool = False  # a frame's trigger count is the encoder's count at its first row
    flat_field: Annotated[str, Meta(min_length=1)] | None = None  # file; recipe's folder
    flat_field_sha256: Sha256 | None = None  # pins it


class Golden(Section, frozen=True, kw_only=True):
    """[[golden]] a picture with a known verdict; another one means that the model does not see."""

    picture: Annotated[str, Meta(min_length=1)]  # path, taken from the recipe's folder
    sha256: Sha256 | None = None  # pins it
    expect: Literal["ok", "ng", "undecided"]
    camera: CameraName | None = None  # whose view it is: for zones of one camera

    @property
    def code(self) -> Code:
        """The verdict expected."""
        return Code[self.expect.upper()]
