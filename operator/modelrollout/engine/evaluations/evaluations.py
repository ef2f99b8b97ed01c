"""Evaluations in the cluster: one Job for each attempt at a run, and what became of it.

The Jobs are the memory. Their names follow from what was asked, so that a successor finds them again and none
is started twice. A Job that ends without a verdict says nothing about the model: it is an error, which holds,
and the run is started once more after a while.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Callable

import structlog

from modelrollout.api.mistakes import Mistaken
from modelrollout.api.names import EVALUATION_LABEL, JOB_LABEL, RolloutKey
from modelrollout.api.objects import JOB, POD, Object, labels_of, named
from modelrollout.cluster.cache import Cache, See
from modelrollout.cluster.errors import ClusterError
from modelrollout.cluster.port import Cluster
from modelrollout.engine.evaluations.job_end import Ended, condition, waiting, what_became
from modelrollout.engine.evaluations.jobs import age, asked, awaited, left, owned
from modelrollout.engine.evaluations.task import task_of
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.writing.write import Writer
from modelrollout.evaluate.outcome import last_line
from modelrollout.rollout.actions import RunEvaluation
from modelrollout.rollout.model import Gate
from modelrollout.serving.evaluation import CONTAINER, JobSettings, evaluation_job

FIRST_LOOK, POLL = 3.0, 15.0
"""Seconds until the first look at a run that goes on, and between two of them."""
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 900.0
"""Seconds until a run that ended in an error is started once more; each time twice as long."""
LOG_LINES, LOG_BYTES = 5, 16_384

log = structlog.get_logger()


class Evaluations:
    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        see: See,
        settings: JobSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`see` is shown each Job as it was written."""
        self._cluster = cluster
        self._cache = cache
        self._writer = Writer(cluster, cache, see)
        self._settings = settings
        self._clock = clock
        self._ended: dict[RolloutKey, dict[str, Ended]] = collections.defaultdict(dict)
        """By the uid of the Job."""
        self._progress: dict[RolloutKey, dict[str, str]] = collections.defaultdict(dict)
        self._mistakes: dict[RolloutKey, dict[str, Gate]] = {}
        """What keeps a run from being started, by the evaluation's name."""
        self._tasks: dict[RolloutKey, asyncio.Task[None]] = {}
        self.snapshot: Callable[[RolloutKey], Snapshot | None] = lambda _: None
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    # ── what is known ───────────────────────────────────────────────────────────────────────────

    def gates(self, key: RolloutKey) -> dict[str, Gate]:
        """The newest attempt of each evaluation, or what kept the next one from being started."""
        found = {}
        for job in sorted(self._jobs(key), key=age):
            gate = self._gate(key, job)
            if gate is not None:
                found[job["metadata"]["labels"][EVALUATION_LABEL]] = gate
        return {**found, **self._mistakes.get(key, {})}

    def _jobs(self, key: RolloutKey) -> list[Object]:
        """Those of this rollout itself, and not of a deleted one of the same name."""
        rollout = self._cache.get(key.ref, key.namespace)
        if rollout is None:
            return []
        jobs = self._cache.children(key.namespace, key.name, JOB.resource)
        return [job for job in jobs if EVALUATION_LABEL in labels_of(job) and owned(job, rollout)]

    def _gate(self, key: RolloutKey, job: Object) -> Gate | None:
        metadata = job["metadata"]
        revision, run, attempt = asked(job)
        if "deletionTimestamp" in metadata:
            return None
        ended = self._ended[key].get(metadata["uid"])
        if ended is None:
            said = self._progress[key].get(metadata["uid"], f"Job {metadata['name']} was started")
            return Gate(revision, run, "running", said, attempt, metadata["name"])
        again = ended.at + pause(attempt) if ended.outcome.state == "error" else None
        sentence = ended.outcome.sentence
        return Gate(revision, run, ended.outcome.state, sentence, attempt, metadata["name"], again)

    async def look(self, key: RolloutKey) -> bool:
        """Read what became of the Jobs that have ended, and how far the others are; whether that was news.

        A Job that nobody waits for any more is ended: its revision has left, or its step has begun anew.
        """
        if not (jobs := self._jobs(key)):
            return False
        view, news = self.snapshot(key), False
        for job in jobs:
            uid = job["metadata"]["uid"]
            if not self._unread(key, job):
                continue
            if condition(job) is None and view is not None and not (view.deleting or awaited(view, job)):
                await self._cluster.delete(named(JOB, job["metadata"]["name"]), key.namespace)
                continue
            pods = await self._pods(job)
            ended = what_became(job, pods, self._clock())
            if ended is not None:
                self._ended[key][uid] = ended
                self._progress[key].pop(uid, None)
                news = True
                continue
            said = await self._how_far(pods)
            news = news or (said is not None and said != self._progress[key].get(uid))
            if said is not None:
                self._progress[key][uid] = said
        return news

    async def _pods(self, job: Object) -> list[Object]:
        metadata = job["metadata"]
        labels = f"{JOB_LABEL}={metadata['name']}"
        return [
            pod
            for pod in await self._cluster.list(POD, metadata["namespace"], labels)
            if any(owner["uid"] == metadata["uid"] for owner in pod["metadata"].get("ownerReferences") or ())
        ]

    async def _how_far(self, pods: list[Object]) -> str | None:
        """From the log of the pod that runs, or why it does not; None when nothing can be said."""
        pod = max(pods, key=lambda each: each["metadata"]["creationTimestamp"], default=None)
        if pod is None:
            return None
        if (hindered := waiting(pod)) is not None:
            return hindered
        ref = named(POD, pod["metadata"]["name"])
        try:
            said = await self._cluster.log(
                ref, pod["metadata"]["namespace"], CONTAINER, lines=LOG_LINES, most_bytes=LOG_BYTES
            )
        except ClusterError:
            return None
        return last_line(said)

    def follow(self, key: RolloutKey) -> None:
        """Look again and again behind the passes' back, until every Job has ended: an abort must not wait for
        an answer."""
        if key in self._tasks or not any(self._unread(key, job) for job in self._jobs(key)):
            return
        task = self._tasks[key] = asyncio.create_task(self._follow(key))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def _follow(self, key: RolloutKey) -> None:
        wait = FIRST_LOOK
        while any(self._unread(key, job) for job in self._jobs(key)):
            await asyncio.sleep(wait)
            wait = POLL
            with contextlib.suppress(ClusterError):
                if await self.look(key):
                    self.on_news(key)

    def forget(self, key: RolloutKey) -> None:
        """The rollout is gone."""
        for kept in (self._mistakes, self._ended, self._progress):
            kept.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()

    def _unread(self, key: RolloutKey, job: Object) -> bool:
        """It is not known yet what became of it."""
        return job["metadata"]["uid"] not in self._ended[key] and "deletionTimestamp" not in job["metadata"]

    async def fetch(self, key: RolloutKey) -> None:
        """Before a pass: what became of the Jobs that have ended meanwhile, and an end to those that nobody
        waits for any more."""
        unread = [job for job in self._jobs(key) if self._unread(key, job)]
        if not unread:
            return
        view = self.snapshot(key)
        if any(left(job) or not (view is None or awaited(view, job)) for job in unread):
            with contextlib.suppress(ClusterError):
                await self.look(key)
        self.follow(key)

    # ── starting ────────────────────────────────────────────────────────────────────────────────

    async def run(self, view: Snapshot, action: RunEvaluation) -> None:
        """Start this attempt, unless it was started already.

        What a person has to put right is not raised but kept as the run's error: it holds the step and says
        so there. Raises ClusterError.
        """
        try:
            task = await task_of(self._cluster, self._settings, view, action)
        except Mistaken as error:
            self._mistaken(view.key, action, " ".join(error.sentences))
            return
        self._mistakes.get(view.key, {}).pop(action.name, None)
        body = evaluation_job(view.resource, task, self._settings)
        await self._writer.create(view, named(JOB, task.job), body)
        await self._clear(view.key, action.name, task.job)
        self.follow(view.key)

    def _mistaken(self, key: RolloutKey, action: RunEvaluation, sentence: str) -> None:
        """Keep the mistake as the run's error. The same attempt is made again after a while."""
        again = self._clock() + FIRST_PAUSE
        gate = Gate(action.revision, action.run, "error", sentence, action.attempt - 1, "", again)
        self._mistakes.setdefault(key, {})[action.name] = gate
        self.on_news(key)

    async def _clear(self, key: RolloutKey, evaluation: str, kept: str) -> None:
        """Delete the Jobs of the evaluation, but for the last: people may read its log."""
        for job in self._jobs(key):
            metadata = job["metadata"]
            if metadata["labels"][EVALUATION_LABEL] == evaluation and metadata["name"] != kept:
                await self._cluster.delete(named(JOB, metadata["name"]), key.namespace)
                self._ended[key].pop(metadata["uid"], None)
                self._progress[key].pop(metadata["uid"], None)


def pause(attempt: int) -> float:
    """Seconds between the end of this attempt and the next one."""
    return min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 10), LONGEST_PAUSE)
