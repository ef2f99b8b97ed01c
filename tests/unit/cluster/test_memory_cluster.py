"""The API server in memory answers as the real one does."""

import pytest

from tests.shared.cluster_contract import ClusterContract
from tests.shared.memory_cluster import MemoryCluster


class TestMemoryCluster(ClusterContract):
    @pytest.fixture
    def namespace(self):
        return "ml"

    @pytest.fixture
    def cluster(self):
        return MemoryCluster()

    @pytest.fixture
    def somebody(self, cluster, namespace):
        async def write(ref, patch):
            await cluster.by("somebody").merge(ref, namespace, patch)

        return write
