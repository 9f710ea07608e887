"""Scenes in which colours and single frames say nothing, only motion, place and order do.

Bottom up: geometry and colours; the camera; the canvas; things and people; what people do
(`driving`, `playing`); the scenes (`car`, `field`).
"""

from vitprune.demo.hard import driving, playing
from vitprune.demo.hard.car import CarScene
from vitprune.demo.hard.field import FieldScene

ACTIONS = {"dai": tuple(driving.ACTIONS), "ucf101": tuple(playing.ACTIONS)}
SCENES = {"dai": CarScene, "ucf101": FieldScene}
