"""The only room that talks to Kubernetes: dicts in and out, explicit timeouts, errors that are sentences."""
