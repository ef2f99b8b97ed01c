"""Requests that change objects and status; the answer to each goes to the cache at once.

status_writer writes what a pass decided, before anything is done. write has the requests for all other
objects; leave (users keep what serves them when a rollout goes) and rotation (stable pods rest and come back)
are actions of several requests each.
"""
