"""The training step's arithmetic and the evaluation's figures; all five tasks run in tests/chains."""

import json
from pathlib import Path

import pytest
import torch

from segexp.build import build, chain, stages, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.datamodule import Item, collate, to_float
from segexp.errors import ConfigError, NonFiniteLossError, StoppedError, WiringError
from segexp.task import scale, totals
from segexp.types import Targets
from segexp.weights.load import read_state
from tests.runs.planned import Planned, folder_of, hurry, poisons, read, run, signals, weights

SMALL = [
    "data.height=32",
    "data.width=48",
    "data.train=8",
    "data.val=3",
    "data.test=2",
    "data.loader.batch_size=2",
    "backbone=timm",
    "backbone.name=test_resnet",
    "decoder.width=16",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "callbacks.panels.count=1",
]


def small(*overrides):
    return compose("train", [*SMALL, *overrides])


def fit(folder, *overrides):
    config = small(*overrides)
    Path(folder).mkdir(exist_ok=True)
    experiment = build(config)
    lightning = trainer(config, RunInfo(Path(folder), config.monitor), training=True)
    lightning.fit(experiment.task, datamodule=experiment.datamodule)
    return experiment, lightning


def state(experiment):
    return torch.cat([p.flatten() for p in experiment.task.model.state_dict().values()])


def test_scale_and_totals_by_hand():
    assert totals({"b": 6.0, "a": 0.0}) == {"a": 1.0, "b": 6.0}
    parts = scale({"b": torch.tensor(3.0), "free": torch.tensor(2.0)}, {"b": 6.0}, 4)
    assert {k: float(v) for k, v in parts.items()} == {"b": 2.0, "free": 2.0}


def test_the_same_seed_gives_the_same_weights_whatever_workers_and_validation(tmp_path):
    plain = state(fit(tmp_path / "a")[0])
    other = state(fit(tmp_path / "b", "data.loader.workers=1", "trainer.check_val_every_n_epoch=2", "trainer.log_every_n_steps=1")[0])
    seeded = state(fit(tmp_path / "c", "seed=1")[0])
    assert torch.equal(plain, other)
    assert not torch.equal(plain, seeded)


def test_what_a_fit_leaves_behind(tmp_path):
    experiment, lightning = fit(tmp_path, "trainer.log_every_n_steps=1")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [r for r in lines if r["name"] == "train/loss"]
    assert [r["step"] for r in losses] == [0, 1, 2, 3]
    assert {"train/lr", "train/loss/ce", "val/miou", "val/iou/road", "val/loss"} <= {r["name"] for r in lines}
    records = [json.loads(line) for line in (tmp_path / "per_image.jsonl").read_text().splitlines()]
    assert [r["id"] for r in records] == ["val/000000", "val/000001", "val/000002"]
    totals = {k: torch.tensor([r["semantic"][k] for r in records]).sum(0).double() for k in ("intersection", "predicted", "labelled")}
    iou = totals["intersection"] / (totals["predicted"] + totals["labelled"] - totals["intersection"])
    assert float(iou.nanmean()) == pytest.approx(experiment.task.figures["val"]["miou"], abs=1e-12)
    assert {p.name for p in (tmp_path / "images").iterdir()} == {"index.json", *(f"val__00000{i}.png" for i in range(3))}
    checkpoint = tmp_path / "checkpoints" / "step-4.ckpt"
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["global_step"] == saved["run"]["position"]["step"] == 4
    assert set(saved["state_dict"]) == {f"model.{name}" for name in experiment.task.model.state_dict()}
    assert set(read_state(checkpoint)) == set(experiment.task.model.state_dict())
    assert (tmp_path / "checkpoints" / "LAST").read_text() == (tmp_path / "checkpoints" / "BEST").read_text() == "step-4"
    assert lightning.global_step == experiment.task.evaluated_at == 4


def test_validation_loss_is_the_sum_over_the_count_of_the_whole_set(tmp_path):
    one = fit(tmp_path / "a", "data.loader.eval_batch_size=1")[0].task.figures["val"]
    three = fit(tmp_path / "b", "data.loader.eval_batch_size=3")[0].task.figures["val"]
    assert one["loss"] == pytest.approx(three["loss"], rel=1e-4)


@pytest.mark.parametrize("model", ["pspnet", "deeplabv3"])
def test_what_an_image_gives_does_not_depend_on_the_others_of_its_batch(model):
    """Networks that pool the whole image would see the padding."""
    experiment = build(compose("train", [f"model={model}", "backbone.output_stride=16", "data=shapes"]), weights=False)
    task, sizes = experiment.task.eval(), ((40, 56), (64, 32), (40, 56))
    torch.manual_seed(0)
    items = []
    for number, size in enumerate(sizes):
        labels = Targets(semantic=torch.randint(0, 8, size, dtype=torch.uint8))
        items.append(Item(torch.randint(0, 256, (3, *size), dtype=torch.uint8), labels, labels, size, f"val/{number}"))

    def evaluated(*chosen):
        batch = collate([items[i] for i in chosen])
        batch.images = to_float(batch.images)
        batch.counts = task.loss.count(batch.targets)
        task._reset()
        with torch.no_grad():
            found = task._evaluate(batch)
            direct = task.model.predict(batch.images, batch.sizes, batch.original_sizes)
        assert all(torch.equal(a.semantic, b.semantic) for a, b in zip(found.predictions, direct, strict=True))
        return found, task.sums["ce"], task.counts["ce"]

    together, total, count = evaluated(0, 1, 2)
    alone = [evaluated(i) for i in range(3)]
    for i, (one, _, _) in enumerate(alone):
        assert (together.predictions[i].semantic != one.predictions[0].semantic).float().mean() < 1e-3  # two at a time round otherwise
    assert float(total) == pytest.approx(float(sum(value for _, value, _ in alone)), rel=1e-5)
    assert count == sum(n for *_, n in alone)


def test_a_loss_that_is_not_finite_stops_with_step_samples_and_what_to_try(tmp_path):
    with pytest.raises(NonFiniteLossError) as caught:
        fit(tmp_path, "optimizer.lr=1e30", "scheduler.warmup=0")
    error = caught.value
    assert error.exit_code == 3
    assert "the loss is" in error.what
    assert "learning rate" in error.what
    assert error.where.startswith("samples train/")
    assert "optimizer.lr=" in error.fix


# ------------------------------------------------------------------ batches that aren't finite, in a whole run


@pytest.fixture
def quick(monkeypatch):
    hurry(monkeypatch)


@pytest.mark.usefixtures("quick")
def test_the_batch_of_a_loss_that_is_not_finite_is_kept_and_checkpoints_stay_clean(tmp_path):
    with pytest.raises(NonFiniteLossError) as caught:
        run(tmp_path, plan={("train", 5): poisons()})
    folder = folder_of(tmp_path)
    kept = torch.load(folder / "nonfinite-step-5.pt", weights_only=True)
    assert caught.value.where == f"samples {', '.join(kept['ids'])}, kept in {folder}/nonfinite-step-5.pt"
    assert tuple(kept["ids"]) == Planned.batch.ids
    assert torch.equal(kept["images"].isnan(), torch.ones(2, 3, 32, 48, dtype=torch.bool))
    assert torch.equal(kept["targets"][1]["semantic"], Planned.batch.targets[1].semantic)
    status = read(folder, "status.json")
    assert (status["state"], status["step"], status["error"]["code"]) == ("failed", 4, "nonfinite")
    assert weights(folder).isfinite().all()


def parts(module):
    return {name: value.clone() for name, value in module.model.state_dict().items()}


@pytest.mark.usefixtures("quick")
def test_steps_that_are_left_out_change_neither_weights_nor_running_statistics(tmp_path):
    before, after, bad = [], [], poisons()

    def poison(trainer, module):
        before.append(parts(module))
        bad(trainer, module)

    plan = {("train", 2): poison, ("train", 3): lambda _, module: after.append(parts(module)), ("train", 5): poisons()}
    outcome = run(tmp_path, "trainer.skip_nonfinite=2", plan=plan)
    assert "net.1.running_mean" in "".join(before[0])
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert outcome.result["steps"] == 8
    folder = folder_of(tmp_path)
    assert weights(folder).isfinite().all()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["value"] for line in lines if line["name"] == "train/loss"}
    assert list(losses) == list(range(8))
    assert [step for step, value in losses.items() if value is None] == [2, 5]  # NaN, not the value of the step before
    assert (folder / "log.txt").read_text().count("left out (") == 2
    assert sorted(path.name for path in folder.glob("nonfinite-*")) == ["nonfinite-step-2.pt", "nonfinite-step-5.pt"]


@pytest.mark.usefixtures("quick")
def test_so_many_steps_may_be_left_out_and_the_count_survives_a_resume(tmp_path):
    with pytest.raises(StoppedError):
        run(tmp_path, "trainer.skip_nonfinite=2", plan={("train", 1): poisons(), ("train", 2): poisons(), ("train", 3): signals()})
    with pytest.raises(NonFiniteLossError, match="at step 6"):
        run(tmp_path, "trainer.skip_nonfinite=2", plan={("train", 6): poisons()})
    assert Planned.steps == [4, 5, 6]


@pytest.mark.usefixtures("quick")
def test_of_a_window_only_the_batch_that_is_not_finite_is_left_out(tmp_path):
    states = []
    plan = {("train", step): lambda _, module: states.append(parts(module)) for step in (0, 2)} | {("train", 1): poisons()}
    run(tmp_path, "trainer.skip_nonfinite=1", "trainer.accumulate_grad_batches=2", "trainer.max_epochs=1", plan=plan)
    assert Planned.steps == [0, 0, 1, 1]
    assert weights(folder_of(tmp_path)).isfinite().all()
    assert not torch.equal(weights(folder_of(tmp_path)), torch.cat([value.flatten().double() for value in states[1].values()]))


def test_chains_that_do_not_fit_are_refused_before_data_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("segexp.data.camvid.CamVid.open", lambda *_: pytest.fail("data were opened"))
    with pytest.raises(WiringError, match="SemanticHead needs the level semantic; it is given c1, c2, c3, c4, c5"):
        build(compose("train", ["decoder=identity", "data=camvid"]))


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("monitor=val/miuo", r"no metric gives this figure; monitor=val/miuo; fix: monitor=val/miou"),
        ("seed=abc", r"the seed must be a whole number; seed=abc; fix: seed=0"),
        ("optimizer.lr=abc", r"adamw can't be made from these keys: TypeError: .*; optimizer; fix: change optimizer\.\*"),
        ("trainer.precision=17", r"Trainer can't be made from these keys: ValueError: Precision 17.*; trainer; fix: change trainer\.\*"),
    ],
)
def test_values_that_make_no_sense_are_config_errors(tmp_path, override, text):
    with pytest.raises(ConfigError, match=text):
        fit(tmp_path, override)


def test_wrong_links_name_the_options_that_fit(monkeypatch):
    from segexp.check.options import built_options
    from segexp.types import ClassLogits

    config = small()
    parts = stages(config)
    spec = build(config).task.data

    class Odd:
        accepts, needs = ClassLogits, frozenset({"label"})

        def __init__(self, data):
            pass

    with torch.device("meta"), pytest.raises(WiringError, match=r"fix: what fits here: loss=.*\|ce_dice\|.*cross_entropy\|.*ohem"):
        chain(spec, **(parts | {"loss": Odd}), alternatives=built_options)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_amp_accumulation_and_clipping_run(tmp_path, precision):
    experiment, lightning = fit(
        tmp_path, f"trainer.precision={precision}", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=1.0"
    )
    assert lightning.global_step == 2
    assert experiment.task.figures["val"]["loss"] > 0
