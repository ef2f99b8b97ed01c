"""Sends messages about rollouts: to people by Apprise, and to machines as signed CloudEvents."""
