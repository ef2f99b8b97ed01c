"""Reads the policy of an evaluation before its Job is made, so that a slip in it is a sentence at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from modelrollout.api.evaluations import Evaluation
from modelrollout.api.mistakes import Mistaken
from modelrollout.api.objects import CONFIG_MAP, named
from modelrollout.cluster.port import Cluster
from modelrollout.evaluate.claims import claims_of
from modelrollout.evaluate.policy import read
from modelrollout.serving.evaluation import DatasetVolume


async def dataset_of(
    cluster: Cluster, namespace: str, evaluation: Evaluation, *, alone: bool
) -> DatasetVolume | None:
    """Where the policy's cases are; None: beside the policy, or behind a URL. `alone`: there is no baseline.

    Raises:
        Mistaken: what a person has to put right.
    """
    source = evaluation.policy
    keys = await _keys(cluster, namespace, source.config_map)
    if source.key not in keys:
        known = ", ".join(sorted(keys)) or "nothing"
        raise Mistaken([f"ConfigMap {source.config_map} has no {source.key}; it has {known}."])
    policy = await asyncio.to_thread(read, keys[source.key], source.key)
    if alone and not claims_of(policy, single=True):
        raise Mistaken(
            [
                f"{source.key}: The revision that serves is asked alone, and every gate compares it with "
                "another: write a limit of its own, such as atLeast: 80%."
            ]
        )
    dataset = policy.dataset
    if dataset.file is not None and dataset.file not in keys:
        raise Mistaken(
            [
                f"{source.key}: The dataset {dataset.file} is not in ConfigMap {source.config_map}: put "
                "it there, or name a configMap, a pvc or a url."
            ]
        )
    if dataset.config_map is not None:
        return await _in_config_map(cluster, namespace, dataset.config_map, dataset.key)
    if dataset.pvc is not None:
        path = (dataset.path or "").lstrip("/")
        if ".." in path.split("/"):
            raise Mistaken([f"{source.key}: The dataset's path {path} leads out of its volume."])
        return DatasetVolume(path, claim=dataset.pvc)
    return None


async def _in_config_map(cluster: Cluster, namespace: str, name: str, key: str | None) -> DatasetVolume:
    keys = await _keys(cluster, namespace, name)
    if key is None and len(keys) != 1:
        raise Mistaken([f"ConfigMap {name} has {len(keys)} files: name the dataset's by `key`."])
    if (wanted := key or next(iter(keys))) not in keys:
        raise Mistaken([f"ConfigMap {name} has no {wanted}, which the policy names as its dataset."])
    return DatasetVolume(wanted, config_map=name)


async def _keys(cluster: Cluster, namespace: str, name: str) -> Mapping[str, str]:
    body = await cluster.get(named(CONFIG_MAP, name), namespace)
    if body is None:
        raise Mistaken([f"There is no ConfigMap {name} in namespace {namespace}."])
    return {**dict.fromkeys(body.get("binaryData") or {}, ""), **(body.get("data") or {})}
