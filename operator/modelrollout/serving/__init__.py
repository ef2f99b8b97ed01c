"""What serves a revision: pure builders of Deployments, Services and prompt copies, and what pods tell.

Every builder gives a new Kubernetes object as a dict; nothing here talks to a cluster.
"""
