"""Frames stacked as channels of one image, and weights for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from study.errors import ModelError, WeightsError
from study.models.build import build_model
from study.models.recognizer import Recognizer, stack_frames
from study.spec.model import ModelSpec


def make(frames: int, stack: int, **model: object) -> Recognizer:
    spec = ModelSpec.model_validate({"backbone": "resnet18", "stack": stack, "dropout": 0.0, **model})
    return build_model(spec, num_classes=5, frames=frames).eval()


def test_order_of_channels() -> None:
    clips = torch.randn(2, 3, 8, 4, 4)
    stacked = stack_frames(clips, 4)
    assert stacked.shape == (2, 12, 2, 4, 4)
    for image in range(2):
        for frame in range(4):
            ours = stacked[:, 3 * frame : 3 * frame + 3, image]
            assert torch.equal(ours, clips[:, :, 4 * image + frame])


def test_equal_frames_give_what_one_gave(tmp_path: Path) -> None:
    """The first kernel is repeated and divided, so an image of three equal frames is the frame."""
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "r18.pth")
    init = {"weights": str(tmp_path / "r18.pth")}
    single, triple = make(2, 1, init=init), make(6, 3, init=init)
    assert triple.backbone.conv1.weight.shape == (64, 9, 7, 7)
    clips = torch.randn(1, 3, 2, 64, 64)
    with torch.no_grad():
        scores = single(clips)
        torch.testing.assert_close(
            triple(clips.repeat_interleave(3, dim=2)),
            scores,
            rtol=1e-4,
            atol=1e-5 * float(scores.abs().max()),
        )


def test_blocks_see_images_for_frames() -> None:
    """Two images of three frames: the temporal convolution joins frames of different images only."""
    model = make(6, 3, block={"type": "sth"})
    clips = torch.randn(1, 3, 6, 64, 64)
    with torch.no_grad():
        swapped = torch.cat([clips[:, :, 3:], clips[:, :, :3]], dim=2)
        assert (model(clips) - model(swapped)).abs().max() > 1e-4 * model(clips).abs().max()
        with pytest.raises(ModelError, match=r"expected clips \(N, C, 6, H, W\)"):
            model(clips[:, :, :2])


def test_a_stack_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.stack: 3 does not divide clip\.frames, 8"):
        make(8, 3)


def test_a_file_that_lacks_a_layer_of_a_replaced_block_is_refused(tmp_path: Path) -> None:
    """Blocks that keep the layers of a residual block cannot hide that one of them stays random."""
    state = resnet18(weights=None).state_dict()
    lacking = {key: value for key, value in state.items() if key != "layer2.1.conv1.weight"}
    torch.save(lacking, tmp_path / "r18.pth")
    for block in ("abm_c_in", "stm", "nonlocal"):
        with pytest.raises(WeightsError, match=r"holds no value for backbone\.layer2\.1\."):
            make(2, 1, block={"type": block}, init={"weights": str(tmp_path / "r18.pth")})
    torch.save(state, tmp_path / "r18.pth")
    model = make(2, 1, block={"type": "abm_c_in"}, init={"weights": str(tmp_path / "r18.pth")})
    assert "backbone.layer2.1.main.weight" in model.weights_report.loaded
    assert "backbone.layer2.1.auxiliary.bias" in model.weights_report.new
    assert torch.equal(model.backbone.layer2[1].main.weight[:, :, 1], state["layer2.1.conv1.weight"])
