"""Asks registries: `api.py` is the way to them, `mlflow.py` and `hub.py` their words."""
