import pytest
from omegaconf import OmegaConf

from segexp.config import compose
from segexp.errors import ConfigError
from segexp.ranks.layout import Layout, layout, rank_faults
from segexp.runs.identity import identity


def config(devices=1, nodes=1, **more):
    return OmegaConf.create({"trainer": {"devices": devices, "num_nodes": nodes, **more}})


def test_one_rank_unless_asked():
    assert layout(config(), {}) == Layout()
    assert layout(OmegaConf.create({}), {}) == Layout()


def test_several_ranks_of_one_machine_start_themselves():
    mine = layout(config(2), {"WORLD_SIZE": "1", "SLURM_STEP_NUM_TASKS": "1"})
    assert (mine.world, mine.local, mine.rank, mine.started) == (2, 2, 0, "segexp")


def test_a_rank_that_was_started_by_the_first_knows_which_it_is():
    mine = layout(config([4, 5, 6]), {"SEGEXP_RANK": "2 127.0.0.1:4711"})
    assert (mine.world, mine.rank, mine.local_rank, mine.address) == (3, 2, 2, ("127.0.0.1", 4711))


def test_ranks_of_srun():
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_NODELIST": "gpu[07-09,11],big2", "SLURM_JOB_ID": "12345"}
    mine = layout(config(2, 2), step | {"SLURM_STEP_ID": "0"})
    assert (mine.world, mine.rank, mine.local_rank, mine.node, mine.started) == (4, 3, 1, 1, "srun")
    assert mine.address[0] == "gpu07" and 20000 <= mine.address[1] < 30000
    assert layout(config(2, 2), step | {"SLURM_STEP_ID": "1"}).address != mine.address  # two steps of a job don't meet


def test_ranks_that_srun_deals_out_among_machines_are_refused():
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "a,b", "SLURM_JOB_ID": "1"}
    with pytest.raises(ConfigError, match=r"rank 2 is number 1 of its machine.*fix: srun .* --distribution=block"):
        layout(config(2, 2), step)
    assert layout(config(2, 2), step | {"SLURM_LOCALID": "0"}).local_rank == 0


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a", "a"), ("a,b", "a"), ("n[3]", "n3"), ("n[01-04,9],m3", "n01"), ("x-y[8,9]", "x-y8"), ("r[1-2]n[3-4],m", "r1n3")],
)
def test_the_first_machine_of_a_list(nodes, first):
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": nodes, "SLURM_JOB_ID": "1"}
    assert layout(config(1, 2), step).address[0] == first
    assert layout(config(2), step).address[0] == "127.0.0.1"  # those of one machine needn't be reached from another


def test_ranks_of_torchrun_meet_beside_its_store():
    variables = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "29500"}
    mine = layout(config(1, 2), variables)
    assert (mine.rank, mine.started, mine.address) == (1, "torchrun", ("here", 29501))
    assert layout(config(2), variables).address == ("127.0.0.1", 29501)


@pytest.mark.parametrize(
    ("variables", "by"),
    [({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, "srun"), ({"WORLD_SIZE": "4", "RANK": "0"}, "torchrun")],
)
def test_another_number_of_ranks_than_the_config_has_is_refused(variables, by):
    with pytest.raises(ConfigError, match=f"{by} has started 4 ranks, and the config has 2; trainer.devices, trainer.num_nodes; fix: {by}"):
        layout(config(2), variables)


def test_ranks_of_srun_on_other_machines_than_the_config_says_are_refused():
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_NODES": "2"}
    with pytest.raises(ConfigError, match=r"ranks on 2 machines, and the config has 1; .*fix: srun --nodes=1 --ntasks-per-node=2"):
        layout(config(2), step)


def test_several_machines_need_somebody_who_starts_them():
    with pytest.raises(ConfigError, match=r"can't start itself on the others.*srun \(--nodes=2 --ntasks-per-node=4\) or torchrun"):
        layout(config(4, 2), {})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": "auto"}, "trainer.devices=auto"),
        ({"devices": -1}, "trainer.devices=-1"),
        ({"devices": []}, "trainer.devices"),
        ({"nodes": 0}, "trainer.num_nodes=0"),
        ({"devices": 2, "on_oom": "halve"}, "trainer.on_oom=halve; fix: trainer.on_oom=error"),
        ({"devices": 2, "skip_nonfinite": 3}, "trainer.skip_nonfinite=3; fix: trainer.skip_nonfinite=0"),
    ],
)
def test_what_ranks_cannot_do_is_refused(settings, said):
    (key, value, _, fix), *_ = rank_faults(config(**settings))
    assert said in f"{key}={value}; fix: {fix}"


def test_one_rank_can():
    assert not list(rank_faults(config(on_oom="halve", skip_nonfinite=3)))


def test_a_run_is_known_by_the_batch_of_all_its_ranks():
    def known(*overrides):
        return identity(compose("train", list(overrides)))

    whole = known("data.loader.batch_size=4")
    assert known("data.loader.batch_size=2", "trainer=ddp") == whole
    assert known("data.loader.batch_size=1", "trainer=ddp", "trainer.num_nodes=2") == whole
    assert known("data.loader.batch_size=4", "trainer=ddp") != whole
    assert known("data.loader.batch_size=4", "trainer.devices=[3]") == whole
