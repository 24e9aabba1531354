"""The steps of one camera: what it gives, its focus, and where the part lies."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import recipe as recipes
from edge.commissioning.focusing import HELD, Focusing
from edge.commissioning.grey import Greys
from edge.commissioning.looking import Looking
from edge.commissioning.options import Options
from edge.commissioning.outcome import Outcome, judged
from edge.commissioning.scale import Box, Region, box_of
from edge.commissioning.sentences import quoted
from edge.commissioning.terminal import Terminal
from edge.errors import LedgerError, SettingsError
from edge.limits import ImageLimits
from edge.recipe import Recipe
from edge.settings import Camera, Settings
from edge.vision import annotate
from edge.vision.address import redacted
from edge.vision.image import decode_image
from edge.vision.quality import ImageCheck
from edge.vision.reference import Reference, sharpness
from edge.vision.regions import strong_regions
from edge.vision.registration import gray

PICTURE_S = 5.0  # a camera must send a picture within this
PART_STEP = 25  # grey values by which the part differs from the place without it
PART_GAP_PX = 8  # pieces of the part so near each other are one
PART_LEAST_PX = 10.0

Image = npt.NDArray[np.uint8]


def camera(
    looking: Looking, wiring: Settings, terminal: Terminal, folder: Path, options: Options
) -> Outcome:
    """One picture: its size, exposure and grey values, and whether it can be judged at all.

    Raises:
        CameraError: there is none, or one that cannot be used.
        LedgerError: the picture cannot be kept.
    """
    name = looking.camera.name
    terminal.say(
        f"等 {name} 的一张图（{redacted(looking.camera.source)}）；靠工件触发的，放一件过去"
    )
    image = looking.picture(options.within_s)
    greys = Greys.of(np.bincount(gray(image).ravel(), minlength=256).tolist())
    found = recipe_of(looking.camera, wiring)
    wrong = ImageCheck().fault(image, found[1].image if found else ImageLimits())
    exposure = "相机自己定" if looking.exposure_us is None else f"{looking.exposure_us:g} 微秒"
    height, width = image.shape[:2]
    text = f"{width} x {height} 像素，曝光{exposure}；{greys.words}"
    terminal.say(text)
    picture = _keep(folder / f"camera-{name}.png", image)
    return judged(
        None if wrong is None else f"这张图不能用来判定：{_in_words(wrong)}。{greys.words}",
        text,
        width=width,
        height=height,
        exposure_us=looking.exposure_us,
        grey_mean=round(greys.mean, 1),
        grey_5_50_95=[greys.low, greys.middle, greys.high],
        share_at_255=round(greys.full, 4),
        picture=picture,
    )


def focus(looking: Looking, wiring: Settings, terminal: Terminal, options: Options) -> Outcome:
    """The sharpness of picture after picture until the lens is held at the sharpest place.

    Raises:
        CameraError: the pictures end.
        ImageError: the recipe's reference picture cannot be used.
    """
    focusing = Focusing(_wanted(looking.camera, wiring))
    terminal.say(
        "把一个工件停在镜头下不动。慢慢转镜头，看清晰度；经过最清晰处转到变糊，再转回来停住。拧紧锁紧螺钉"
    )
    deadline_s = time.monotonic() + options.within_s
    while not focusing.done and time.monotonic() < deadline_s:
        focusing.see(sharpness(looking.picture(PICTURE_S)))
        bar = "█" * round(20 * focusing.share)
        now = focusing.readings[-1]
        terminal.live(f"清晰度 {now:.3f}  最好 {focusing.best:.3f}  {focusing.share:4.0%} {bar}")
    held = focusing.readings[-HELD:]
    return judged(
        focusing.fault(),
        f"对焦完成：停在 {min(held, default=0.0):.3f}，最好 {focusing.best:.3f}",
        best=round(focusing.best, 4),
        held=round(min(held, default=0.0), 4),
        wanted=focusing.wanted and round(focusing.wanted, 4),
        pictures=len(focusing.readings),
    )


def region(looking: Looking, terminal: Terminal, folder: Path, options: Options) -> Outcome:
    """Where the part lies, and mm per px.

    Raises:
        CameraError: there is no picture.
        SettingsError: the width is no number.
        LedgerError: the picture with the box cannot be kept.
    """
    box, image = options.box or _asked(terminal), None
    if box is None:
        box, image = _found(looking, terminal, options.within_s)
    if image is None:
        terminal.say("拍一张有工件的图；靠工件触发的，放一件过去")
        image = looking.picture(options.within_s)
    if box is None:
        return Outcome("failed", "空拍和有工件的图没有差别，找不到工件：查光源，或用 --box 写框")
    width_mm = options.width_mm
    if width_mm is None:
        width_mm = _number(terminal.ask("工件在这个方向的已知宽度是多少 mm？"), "--width-mm")
    height, width = image.shape[:2]
    measured = Region(box, width, height, width_mm, options.axis)
    fault = measured.fault()
    if fault is not None:
        return Outcome("failed", fault)
    picture = _keep(folder / f"region-{looking.camera.name}.png", _outlined(image, box))
    written = looking.camera.mm_per_px
    text = f"工件宽 {measured.side_px:.1f} 像素 = {width_mm:g} mm，{measured.mm_per_px:.4f} mm/像素"
    if written is None:
        text += f"；edge.toml 的 [[camera]] 写 mm_per_px = {measured.mm_per_px:.4f}，再做一次本步"
    return judged(
        measured.against(written),
        text,
        box_px=[round(edge, 1) for edge in box],
        width_mm=width_mm,
        axis=options.axis,
        mm_per_px=round(measured.mm_per_px, 5),
        mm_per_px_written=written,
        picture=picture,
    )


def recipe_of(of: Camera, wiring: Settings) -> tuple[Path, Recipe] | None:
    """The first recipe that speaks of the camera, else the first that can be read."""
    readable: list[tuple[Path, Recipe]] = []
    for entry in sorted(wiring.recipe, key=lambda one: one.number):
        try:
            readable.append((Path(entry.path), recipes.read(Path(entry.path))))
        except SettingsError:
            continue  # `quanjian-edge check` tells its mistakes
    own = (one for one in readable if any(view.camera == of.name for view in one[1].views))
    return next(own, readable[0] if readable else None)


def _wanted(of: Camera, wiring: Settings) -> float | None:
    """The sharpness that the recipe demands; None = it has no reference for this camera."""
    found = recipe_of(of, wiring)
    if found is None:
        return None
    path, recipe = found
    share = recipe.image.sharpness_share
    view = next((view for view in recipe.views if view.camera == of.name), None)
    if share is None or view is None or view.reference is None:
        return None
    return share * Reference(decode_image(path.parent / view.reference)).sharpness


def _asked(terminal: Terminal) -> Box | None:
    """The box as a person reads it from a picture; None = it shall be found by comparison."""
    text = terminal.ask(
        "工件的框 x1,y1,x2,y2（像素，相机那一步存了图）；回车 = 先空拍再放件，自己找："
    )
    if not text:
        return None
    try:
        return box_of(text)
    except ValueError as wrong:
        problem = f"got {text!r}, expected four numbers such as 76,112,436,400"
        raise SettingsError("--box", [problem]) from wrong


def _found(
    looking: Looking, terminal: Terminal, within_s: float
) -> tuple[Box | None, Image | None]:
    """The part by comparison with the place without it."""
    terminal.ask("把工件拿开，按回车空拍一张")
    before = looking.picture(within_s)
    terminal.ask("把工件放到位，按回车再拍一张")
    image = looking.picture(within_s)
    if image.shape != before.shape:
        return None, image
    difference = np.abs(gray(image).astype(np.int16) - gray(before)).astype(np.uint8)
    found = strong_regions(difference, PART_STEP, PART_GAP_PX, PART_LEAST_PX)
    boxes = [one.box for one in found]
    return max(boxes, key=_area, default=None), image


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _outlined(image: Image, box: Box) -> Image:
    x1, y1, x2, y2 = box
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return annotate.outline(image, [(corners, "tolerant", "part")])


def _keep(path: Path, image: Image) -> str:
    content = annotate.png(image)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as wrong:
        raise LedgerError(f"{path}: cannot be written: {wrong}") from wrong
    return str(path)


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as wrong:
        problem = f"got {text!r}, expected a number such as 90"
        raise SettingsError(option, [problem]) from wrong


def _in_words(fault: str) -> str:
    """What the image check says, with its figures."""
    kind = fault.split(":")[0]
    words = {"dark": "太暗", "saturated": "过曝", "defocused": "失焦", "moved": "移位"}
    return quoted(words.get(kind, "图像有问题"), fault)
