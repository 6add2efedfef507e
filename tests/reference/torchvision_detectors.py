"""Detectors of torchvision with small backbones, resizing and suppression inside. What they should find is what the library
finds in eager mode; for the exported file, its operators (which only libtorchvision knows) are written in plain torch."""

from collections import OrderedDict

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

import calibrate
from reference import COCO, photo, read, reference

CONFIDENCE, LIMIT = 0.3, 100
LIBRARY = f"torchvision {torchvision.__version__}, torch {torch.__version__}"


def plain_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    order = torch.argsort(scores, dim=0, descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[Tensor] = []
    while order.numel() > 0:
        first, rest = order[0], order[1:]
        kept.append(first)
        low = torch.maximum(boxes[first, :2], boxes[rest, :2])
        high = torch.minimum(boxes[first, 2:], boxes[rest, 2:])
        sides = (high - low).clamp(min=0)
        shared = sides[:, 0] * sides[:, 1]
        order = rest[~(shared / (area[first] + area[rest] - shared) > iou_threshold)]
    return torch.stack(kept) if len(kept) > 0 else torch.empty(0, dtype=torch.long)


def plain_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Used by training only, which scripting takes along."""
    shared, union = torchvision.ops.boxes._box_inter_union(boxes1, boxes2)
    return shared / union


class Backbone(nn.Module):
    """Maps at 1/8, 1/16 and 1/32."""

    def __init__(self, out_channels):
        super().__init__()
        channels = [3, 8, 16, 24, 32, 32]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(channels, channels[1:])
        )
        self.sides = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in channels[3:])
        self.out_channels = [out_channels] * 3

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stages[1](self.stages[0](x))
        a = self.stages[2](x)
        b = self.stages[3](a)
        c = self.stages[4](b)
        out: dict[str, Tensor] = OrderedDict()
        out["0"] = self.sides[0](a)
        out["1"] = self.sides[1](b)
        out["2"] = self.sides[2](c)
        return out


def pictures():
    return [torch.from_numpy(read(path)).permute(2, 0, 1).float() / 255 for path in COCO]


def finish(network, classes):
    exported = "torchvision.pt"
    found = [network([picture])[0] for picture in pictures()]
    ops = torchvision.ops.boxes
    library = ops.nms, ops.box_iou
    ops.nms, ops.box_iou = plain_nms, plain_iou
    scripted = torch.jit.script(network)
    ops.nms, ops.box_iou = library
    scripted.save(exported)
    assert "torchvision::" not in str(scripted.inlined_graph)
    photos = []
    for path, boxes in zip(COCO, found):
        rows = torch.cat([boxes["boxes"], boxes["scores"][:, None], boxes["labels"][:, None]], 1)
        photos.append(photo(path, rows[rows[:, 4] > CONFIDENCE].tolist()))
    return reference(
        exported, photos, library=LIBRARY, layout="torchvision", classes=classes, confidence=CONFIDENCE, iou=0.5, limit=LIMIT, fit="none",
    )


def warm(network, scores, boxes, spread):
    inputs = [[picture] for picture in pictures()]
    calibrate.settle(network, inputs)
    calibrate.round_weights(network)
    calibrate.normalise(boxes, network, inputs, std=0.8, bias_std=0.3)
    calibrate.normalise(scores, network, inputs, **spread)
    return inputs


def ssd():
    classes = 6  # and the background
    anchors = DefaultBoxGenerator([[2], [2, 3], [2]], scales=[0.1, 0.25, 0.5, 0.8])
    network = SSD(
        Backbone(24), anchors, (160, 160), classes + 1, score_thresh=0.05, nms_thresh=0.5, detections_per_img=LIMIT,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    ).eval()
    scores, boxes = list(network.head.classification_head.module_list), list(network.head.regression_head.module_list)
    warm(network, scores, boxes, dict(std=1.3, bias_std=0.5))
    for layer in scores:
        layer.bias.view(-1, classes + 1)[:, 0] += 5.0
    return finish(network, classes + 1)


def retinanet():
    classes = 5
    anchors = AnchorGenerator(((24, 40), (48, 80), (96, 160)), ((0.5, 1.0, 2.0),) * 3)
    backbone = Backbone(16)
    backbone.out_channels = 16
    network = RetinaNet(
        backbone, classes, anchor_generator=anchors, score_thresh=0.05, nms_thresh=0.5, detections_per_img=LIMIT,
        topk_candidates=300, fixed_size=(256, 192),  # scripted, others come out a pixel off what they are in eager mode
    ).eval()
    # Four convolutions of the head are three too many for a test.
    for head in (network.head.classification_head, network.head.regression_head):
        head.conv = head.conv[:1]
    scores, boxes = [network.head.classification_head.cls_logits], [network.head.regression_head.bbox_reg]
    inputs = warm(network, scores, boxes, dict(std=0.8, bias_std=0.3))
    scores[0].bias -= 4.2
    return finish(network, classes)
