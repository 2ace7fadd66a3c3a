"""When the trainer's watch acts; that it acts rightly is seen in test_finetune."""

from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from m2v.detectors.trainer.collate import Order
from m2v.detectors.trainer.trainer import TrainingCallback


@pytest.mark.parametrize(
    ("step", "epoch"),
    [(0, 0), (4, 1), (6, 1), (8, 2)],  # four steps an epoch; 6 is a resume within the second
)
def test_each_epoch_has_an_order_of_its_own(step: int, epoch: int) -> None:
    order = Order([1] * 16, batch_size=4, seed=0)
    watch = TrainingCallback(SimpleNamespace(learner=SimpleNamespace(order=order)))  # pyright: ignore[reportArgumentType]
    watch.on_epoch_begin(None, TrainerState(global_step=step, max_steps=12, num_train_epochs=3), TrainerControl())
    assert order.epoch == epoch


@pytest.mark.parametrize(("step", "saves"), [(3, True), (4, False), (5, True), (12, False)])
def test_what_ends_an_epoch_is_saved_after_it_is_scored(step: int, saves: bool) -> None:
    control = TrainerControl(should_save=True)
    watch = TrainingCallback(SimpleNamespace())  # pyright: ignore[reportArgumentType]
    watch.on_step_end(None, TrainerState(global_step=step, max_steps=12, num_train_epochs=3), control)
    assert control.should_save is saves
