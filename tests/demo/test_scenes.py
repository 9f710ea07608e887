"""Scenes: boxes are where things are, actions are what they say, and colours say nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vitprune.demo import driving, playing
from vitprune.demo.camera import View
from vitprune.demo.canvas import CENTRE
from vitprune.demo.car import CarScene
from vitprune.demo.colours import GREY, calm, hair, skin, vivid
from vitprune.demo.field import FieldScene
from vitprune.demo.layouts import plan_of
from vitprune.demo.manner import Manner
from vitprune.demo.scene import Scene
from vitprune.demo.videos import scene_of

TIMES = np.linspace(0, 1, 9)


def scene(kind: type[Scene], action: str, number: int) -> Scene:
    subject, take = np.random.default_rng([1, number]), np.random.default_rng([2, number])
    return kind(action, subject, take, negative=number % 2 == 0)


def manner(**changes: Any) -> driving.Manner:
    return replace(driving.Manner.draw(np.random.default_rng(0)), **changes)


@pytest.mark.parametrize("action", ["phone_left", "phone_right", "drink", "text_left", "pick_up"])
def test_the_object_of_the_driver_is_where_its_box_is(action: str) -> None:
    for number in range(4):
        made = scene(CarScene, action, number)
        assert isinstance(made, CarScene)
        shares = []
        for t in TIMES:
            picture = made.unexposed(float(t))
            x0, y0, x1, y1 = picture.boxes["object"]
            patch = np.asarray(picture.image)[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
            close = np.abs(patch.astype(int) - made.object).max(axis=-1) < 12
            shares.append(close.mean())
        assert np.median(shares) > 0.35, (action, number)
        assert min(shares) > 0.1, (action, number)  # when the hand comes to it, it covers it


@pytest.mark.parametrize(
    ("kind", "actions"), [(CarScene, driving.ACTIONS), (FieldScene, playing.ACTIONS)]
)
def test_hands_and_head_are_where_their_boxes_are(
    kind: type[Scene], actions: dict[str, object]
) -> None:
    """Skin is in them: a thing may hide a hand, but not most hands of a class."""
    for action in actions:
        seen = []
        made = scene(kind, action, 3)
        for t in TIMES:
            picture = made.unexposed(float(t))
            pixels = np.asarray(picture.image).astype(int)
            for label in ("hand_left", "hand_right", "head"):
                x0, y0, x1, y1 = picture.boxes[label]
                patch = pixels[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
                close = np.abs(patch - made.person.skin).max(axis=-1) < 20
                seen.append(bool(close.any()))
        assert np.mean(seen) > 0.7, action


@pytest.mark.parametrize("u", [0.0, 0.2, 0.5, 0.7, 1.0])
def test_order_is_all_that_tells_these_pairs_apart(u: float) -> None:
    how = manner()
    assert driving.put_down(u, how) == driving.pick_up(1 - u, how)
    sport = Manner.draw(np.random.default_rng(0))
    end = sport.begin + sport.length
    there, back = sport.begin + u * sport.length, end - u * sport.length
    shot, bowling = playing.cricket_shot(there, sport), playing.cricket_bowling(back, sport)
    assert np.allclose(shot.props[0].at, bowling.props[0].at)


@pytest.mark.parametrize("action", sorted(set(driving.ACTIONS) - {"pick_up", "put_down"}))
def test_drivers_begin_and_end_at_the_wheel_with_the_eyes_on_the_road(action: str) -> None:
    for u in (0.0, 1.0):
        pose = driving.ACTIONS[action](u, manner())
        assert abs(pose.face.yaw) + abs(pose.face.pitch) < 1e-6
        assert all(reach is None or reach.far < 1e-6 for reach in (pose.right, pose.left))


def test_the_driver_is_at_rest_before_and_after() -> None:
    for number in range(20):
        how = driving.Manner.draw(np.random.default_rng(number))
        assert (how.progress(0.0), how.progress(1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("action", "moves"),
    [("look_left", (1, 0)), ("look_right", (-1, 0)), ("look_down", (0, 1)), ("nod_off", (0, 1))],
)
def test_the_head_really_moves(action: str, moves: tuple[int, int]) -> None:
    faces = [driving.ACTIONS[action](u, manner(strength=1.0)).face for u in np.linspace(0, 1, 21)]
    yaw, pitch = ([getattr(face, name) for face in faces] for name in ("yaw", "pitch"))
    for angles, way in zip((yaw, pitch), moves, strict=True):
        if way:
            assert max(way * angle for angle in angles) > 0.8


def test_what_lies_about_and_its_colours_do_not_depend_on_the_action() -> None:
    first, second = (scene(CarScene, action, 5) for action in ("drink", "look_left"))
    assert isinstance(first, CarScene)
    assert isinstance(second, CarScene)
    assert first.litter == second.litter
    assert first.object == second.object
    assert first.person == second.person


def test_what_matters_stands_out() -> None:
    rng = np.random.default_rng(0)
    drawn = {draw: np.array([draw(rng) for _ in range(2000)]) for draw in (calm, skin, vivid)}
    assert all(((colours >= 0) & (colours <= 255)).all() for colours in drawn.values())
    assert np.abs(drawn[calm] - GREY).max() <= 30
    assert all(np.abs(drawn[draw] - GREY).max(axis=1).min() > 40 for draw in (skin, vivid))
    for colour in drawn[skin][:200]:
        assert colour.mean() - np.mean(hair(rng)) > 50


@pytest.mark.parametrize("kind", [CarScene, FieldScene])
def test_in_a_negative_light_and_dark_are_exchanged_and_nothing_else(kind: type[Scene]) -> None:
    action = "drink" if kind is CarScene else "YoYo"
    for number in range(3):
        plain, negative = (
            kind(
                action, np.random.default_rng(1), np.random.default_rng(number), negative=exchanged
            )
            for exchanged in (False, True)
        )
        for t in TIMES:
            first, second = plain.frame(float(t)), negative.frame(float(t))
            total = np.asarray(first.image, int) + np.asarray(second.image, int)
            assert np.abs(total.mean() - 255) < 1
            assert total.std() < 12  # what compression makes of both
            assert first.boxes == second.boxes


def test_half_of_the_takes_of_everybody_in_every_class_are_negatives() -> None:
    plan = plan_of("dai", {"train": 4, "val": 2, "test": 2})
    takes: dict[tuple[str, int], list[bool]] = {}
    for job in plan.jobs:
        scene = scene_of(plan.scene, job, seed=0)
        assert isinstance(scene, Scene)
        takes.setdefault((job.action, job.who), []).append(scene.sensor.negative)
    assert all(sorted(negative) == [False, True] for negative in takes.values())


def test_a_view_zooms_at_the_centre_and_moves() -> None:
    view = View(CENTRE, 2.0, (3.0, -1.0))
    assert view.at(CENTRE) == (163.0, 119.0)
    assert view.at((170, 120)) == (183.0, 119.0)
