from __future__ import annotations

import pytest

from lrn_deploy.errors import MissingError
from lrn_deploy.tensorrt.flavor import Flavor, find_flavor


@pytest.fixture
def rtx() -> Flavor:
    """TensorRT for RTX, which builds on any machine."""
    try:
        return find_flavor("rtx")
    except MissingError as error:
        pytest.skip(str(error))
