"""Scorers of single answers: pure functions of a case and an answer; None where they say nothing about it."""
