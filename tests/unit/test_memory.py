"""What starting needed is given back."""

import gc

from penstock import memory


def test_what_is_there_stays_out_of_later_collections() -> None:
    before = gc.get_freeze_count()
    try:
        memory.settle()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
