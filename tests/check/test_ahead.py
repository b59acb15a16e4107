import select
import time

from omegaconf import OmegaConf

from segexp.check.ahead import Ahead
from segexp.config import compose, session


def documents(*several):
    with session():
        return [(n, OmegaConf.to_yaml(compose("train", list(own))), list(own)) for n, own in enumerate(several, 1)]


def test_verdicts_come_in_order_and_the_process_ends():
    ahead, found = Ahead(documents(["seed=1"], ["monitor=val/nothing"], ["model=fcos", "decoder=feature_pyramid"], ["seed=2"])), []
    until = time.monotonic() + 120
    while ahead.fileno() is not None and time.monotonic() < until:
        select.select([ahead.fileno()], [], [], 1.0)
        found += ahead.verdicts()
    assert [(number, error and error.where.partition(",")[0]) for number, error in found] == [
        (1, None),
        (2, "monitor=val/nothing"),
        (3, "decoder=feature_pyramid"),
        (4, None),
    ]
    assert "decoder=feature_pyramid_p7" in found[2][1].fix and found[2][1].exit_code == 2
    assert ahead.process.wait(10) == 0
    assert ahead.verdicts() == []
    ahead.close()


def test_closed_early_it_is_gone():
    ahead = Ahead(documents(["seed=1"]))
    ahead.close()
    assert ahead.process.returncode != 0 and ahead.fileno() is None and ahead.verdicts() == []
