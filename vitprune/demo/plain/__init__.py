"""Scenes in which colours and shapes give the class away: a small model learns them in minutes."""

from vitprune.demo.plain import car, sports

ACTIONS = {"dai": tuple(car.ACTIONS), "ucf101": tuple(sports.ACTIONS)}
SCENES = {"dai": car.CarScene, "ucf101": sports.SportsScene}
