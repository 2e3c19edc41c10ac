"""What several tests of data share."""

import pytest


@pytest.fixture
def counted(pairs):
    """The pairs, and the rows of pictures that were decoded so far."""
    decoded = []

    class CountedPairs(type(pairs)):
        def picture(self, row):
            decoded.append(row)
            return super().picture(row)

    return CountedPairs(**vars(pairs)), decoded
