import pytest
from rankwise_numpy import NumpyBackend

from rankwise.backends.contract import BackendContract


class TestNumpy(BackendContract):
    @pytest.fixture
    def backend(self):
        return NumpyBackend()
