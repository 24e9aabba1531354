"""Simulated plates: the same seed, the same pixels; truth lies where the pixels changed."""

import numpy as np
import pytest

from edge.vision import plates
from edge.vision.lens import FRAME_PX, Optics, expose, truth_boxes
from edge.vision.marks import MM_PER_PX
from edge.vision.plates import (
    CLASSES,
    MIN_SIZE_MM,
    NEW_KIND,
    NUISANCES,
    Plate,
    make_plate,
    plan,
)

CLEAR = Optics(defocus_px=0.0, noise=0.0, blur_px=0.0, vignette=0.0)
EVERY_KIND = (*CLASSES, NEW_KIND)
SEEDS = range(900, 912)


def test_the_same_seed_gives_the_same_plate() -> None:
    first, second = (make_plate(7, ("pit", "chip")) for _ in range(2))
    assert np.array_equal(first.surface, second.surface)
    assert np.array_equal(first.alpha, second.alpha)
    assert (first.defects, first.nuisances) == (second.defects, second.nuisances)


def test_another_seed_gives_another_plate() -> None:
    assert not np.array_equal(make_plate(7).surface, make_plate(8).surface)


def changed(plate: Plate, clean: Plate) -> np.ndarray:
    """Where the plate differs visibly from itself without defects."""
    surface = np.abs(plate.surface.astype(int) - clean.surface.astype(int)) > 12
    seen = (plate.alpha > 128) & (clean.alpha > 128)
    there = np.abs(plate.alpha.astype(int) - clean.alpha.astype(int)) > 128
    return np.asarray((surface & seen) | there)


@pytest.mark.parametrize("label", EVERY_KIND)
def test_a_truth_box_is_drawn_around_the_changed_pixels(label: str) -> None:
    for seed in SEEDS:
        plate = make_plate(seed, (label,), nuisances=())
        where = changed(plate, make_plate(seed, nuisances=()))
        (defect,) = plate.defects
        rows, columns = np.nonzero(where)
        x1, y1, x2, y2 = defect.box
        inside = (columns >= x1 - 6) & (columns < x2 + 6) & (rows >= y1 - 6) & (rows < y2 + 6)
        assert inside.all(), f"{label} {seed}: pixels changed outside the box"
        share = where[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1].mean()
        assert share > (0.08 if label == "scratch" else 0.3), (
            f"{label} {seed}: box mostly unchanged"
        )


@pytest.mark.parametrize("label", EVERY_KIND)
def test_a_defect_is_never_smaller_than_its_stated_minimum(label: str) -> None:
    smallest = (1.0, 1.0)
    plates_drawn = [make_plate(seed, (label,), sizes=smallest) for seed in range(60)]
    sizes = [plate.defects[0].size_mm for plate in plates_drawn]
    assert min(sizes) >= MIN_SIZE_MM[label]


@pytest.mark.parametrize("label", ["scratch", "pit", "stain", "chip"])
def test_defects_below_the_minimum_are_drawn_on_request(label: str) -> None:
    sizes = [make_plate(s, (label,), sizes=(0.4, 0.7)).defects[0].size_mm for s in range(30)]
    assert max(sizes) < MIN_SIZE_MM[label]


def test_every_defect_asked_for_is_there_and_they_do_not_cover_each_other() -> None:
    wanted = ("missing_hole", "scratch", "pit", "pit", "chip", "missing_hole")
    for seed in range(20):
        plate = make_plate(seed, wanted)
        assert sorted(d.label for d in plate.defects) == sorted(wanted)
        holes = {d.box for d in plate.defects if d.label == "missing_hole"}
        assert len(holes) == 2


@pytest.mark.parametrize("name", NUISANCES)
def test_a_look_alike_changes_the_surface_and_adds_no_truth(name: str) -> None:
    plain, marked = make_plate(3, nuisances=()), make_plate(3, nuisances=(name,))
    assert marked.defects == ()
    assert marked.nuisances == (name,)
    assert not np.array_equal(plain.surface, marked.surface)
    assert np.array_equal(plain.alpha, marked.alpha)


def test_the_plan_keeps_the_defect_rate_and_never_draws_the_new_kind() -> None:
    rng = np.random.default_rng(1)
    plans = [plan(rng, 0.03) for _ in range(20_000)]
    assert 0.025 < np.mean([bool(p) for p in plans]) < 0.035
    assert {label for p in plans for label in p} == set(CLASSES)
    assert max(len(p) for p in plans) == 3
    assert plan(rng, 0.0) == ()


def test_a_late_exposure_shows_the_plate_displaced_by_the_belt() -> None:
    plate = make_plate(5, ("pit",), nuisances=())
    rng = np.random.default_rng(0)
    on_time = expose([(plate, 0.0, 0.0)], CLEAR, rng)
    late = expose([(plate, 10.0, 0.0)], CLEAR, np.random.default_rng(0))
    metal = slice(120, 130)  # rows between the upper edge and the holes
    assert np.array_equal(on_time[metal, 100:400], late[metal, 140:440])  # 10 mm are 40 px
    assert not np.array_equal(on_time[metal, 100:400], late[metal, 100:400])
    (box,) = (d.box for d in truth_boxes(plate, 0.0, 0.0))
    (moved,) = (d.box for d in truth_boxes(plate, 10.0, 0.0))
    assert [b - a for a, b in zip(box, moved, strict=True)] == [40, 0, 40, 0]


def test_a_plate_that_has_left_the_field_shows_bare_belt_and_no_truth() -> None:
    plate = make_plate(5, ("pit",))
    gone = FRAME_PX * MM_PER_PX / 2 + plates.PLATE_MM[0] / 2 + 5
    picture = expose([(plate, gone, 0.0)], CLEAR, np.random.default_rng(2))
    assert np.array_equal(picture, expose([], CLEAR, np.random.default_rng(2)))
    assert truth_boxes(plate, gone, 0.0) == []


def test_truth_of_a_plate_cut_by_the_frame_is_cut_with_it() -> None:
    plate = make_plate(5, ("missing_hole", "missing_hole", "missing_hole", "missing_hole"))
    boxes = [d.box for d in truth_boxes(plate, 29.0, 0.0)]
    assert len(boxes) == 4  # the right holes are centred 1 mm outside the field
    assert max(b[2] for b in boxes) == FRAME_PX
    assert len(truth_boxes(plate, 40.0, 0.0)) == 2


def test_touching_plates_are_both_in_the_picture() -> None:
    plate = make_plate(5, nuisances=())
    alone = expose([(plate, -40.0, 0.0)], CLEAR, np.random.default_rng(0))
    both = expose([(plate, -40.0, 0.0), (plate, 50.0, 0.0)], CLEAR, np.random.default_rng(0))
    assert both[350, 460] > alone[350, 460] + 40


def test_each_drift_knob_does_what_its_name_says() -> None:
    plate = make_plate(6, nuisances=())

    def shot(optics: Optics) -> np.ndarray:
        return expose([(plate, 0.0, 0.0)], optics, np.random.default_rng(3)).astype(np.float64)

    healthy = shot(CLEAR)
    assert shot(Optics(0.6, 0.0, 0.0, 0.0, 0.0, 0.0)).mean() < 0.65 * healthy.mean()
    edges = np.abs(np.diff(healthy, axis=1)).max()
    assert np.abs(np.diff(shot(Optics(1.0, 3.0, 0.0, 0.0, 0.0, 0.0)), axis=1)).max() < edges / 3
    assert np.abs(np.diff(shot(Optics(1.0, 0.0, 0.0, 0.0, 0.0, 9.0)), axis=1)).max() < edges / 3
    assert np.std(shot(Optics(1.0, 0.0, 6.0, 0.0, 0.0, 0.0)) - healthy) == pytest.approx(6, abs=0.6)
    assert shot(Optics(1.0, 0.0, 0.0, 1.0, 0.0, 0.0)).mean() < healthy.mean() - 2
    assert (
        shot(Optics(1.0, 0.0, 0.0, 0.0, 0.5, 0.0))[:20, :20].mean() < healthy[:20, :20].mean() - 8
    )
    knocked = shot(Optics(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 8.0))
    assert np.array_equal(knocked[120:130, 108:408], healthy[120:130, 100:400])
