"""Loads the test bed's fixtures for every tier."""

pytest_plugins = ["tests.bed.plugin"]
