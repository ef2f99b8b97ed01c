"""Progressive delivery for self-hosted LLMs: a Kubernetes operator for the ModelRollout resource."""

__version__ = "0.1.0"
