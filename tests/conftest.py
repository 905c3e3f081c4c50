import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real run tables, which do not ship."""
    folder = os.environ.get("BAYES_ATLAS_DATA")
    if not folder:
        pytest.skip("needs the real run tables: set BAYES_ATLAS_DATA to their folder")
    return Path(folder)
