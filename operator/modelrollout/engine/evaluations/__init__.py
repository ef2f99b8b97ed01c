"""Evaluations in the cluster: from an action of the plan to a Job, and from the Job to a gate of the brain.

evaluations starts and follows the Jobs. task and policy say what a Job needs, or what a person has to put
right first; jobs reads for which run a Job was started, and job_end what became of it.
"""
