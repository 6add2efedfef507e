"""Heads that predict from the cells of a grid with objectness: YOLOv5 with anchors, YOLOX without. The networks are our own and
tiny; decoding and post-processing are those of the published code, on torchvision's NMS."""

import torch
import torchvision
from torch import nn

import calibrate
from reference import COCO, centre_to_corners, photo, prepare, read, reference

STRIDES = (8, 16, 32)
# Width and height in pixels, of yolov5's own configuration.
ANCHORS = torch.tensor([
    [[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]],
])
CONFIDENCE, LIMIT = 0.25, 300


class Pyramid(nn.Module):
    """A map per stride, `outputs` numbers per cell."""

    def __init__(self, outputs):
        super().__init__()
        channels = [3, 8, 16, 24, 32, 48]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU())
            for a, b in zip(channels, channels[1:])
        )
        self.heads = nn.ModuleList(nn.Conv2d(c, outputs, 1) for c in channels[3:])

    def maps(self, x):
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i >= 2:
                maps.append(self.heads[i - 2](x))
        return maps


def grid(height, width):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], -1).float()


class YoloV5(Pyramid):
    """Inference of ultralytics/yolov5 v7.0, `Detect.forward`."""

    def __init__(self, classes):
        super().__init__(3 * (5 + classes))
        self.numbers = 5 + classes

    def forward(self, x):
        rows = []
        for stride, anchors, y in zip(STRIDES, ANCHORS, self.maps(x)):
            height, width = y.shape[2:]
            y = y.view(1, 3, self.numbers, height, width).permute(0, 1, 3, 4, 2).sigmoid()
            centre = (y[..., :2] * 2 - 0.5 + grid(height, width)) * stride
            size = (y[..., 2:4] * 2) ** 2 * anchors.view(1, 3, 1, 1, 2)
            rows.append(torch.cat([centre, size, y[..., 4:]], -1).view(1, -1, self.numbers))
        return torch.cat(rows, 1)


class Yolox(Pyramid):
    """Megvii-BaseDetection/YOLOX with `decode_in_inference` off, as its export scripts have it."""

    def __init__(self, classes):
        super().__init__(5 + classes)

    def forward(self, x):
        maps = [torch.cat([y[:, :4], y[:, 4:].sigmoid()], 1) for y in self.maps(x)]
        return torch.cat([y.flatten(2) for y in maps], 2).permute(0, 2, 1)


def yolov5_boxes(rows, size, iou):
    """`non_max_suppression` of ultralytics/yolov5 v7.0 with its defaults: best class only, classes 7680 pixels apart."""
    rows = rows[rows[:, 4] > CONFIDENCE]
    scores, classes = (rows[:, 5:] * rows[:, 4:5]).max(1)
    boxes = centre_to_corners(rows[:, :4])
    passed = scores > CONFIDENCE
    boxes, scores, classes = boxes[passed], scores[passed], classes[passed]
    kept = torchvision.ops.nms(boxes + classes[:, None] * 7680.0, scores, iou)[:LIMIT]
    return boxes[kept], scores[kept], classes[kept]


def yolox_boxes(rows, size, iou):
    """`decode_outputs` and `postprocess` of YOLOX."""
    cells, strides = [], []
    for stride in STRIDES:
        level = grid(size[1] // stride, size[0] // stride).view(-1, 2)
        cells.append(level)
        strides.append(torch.full((len(level), 1), float(stride)))
    cells, strides = torch.cat(cells), torch.cat(strides)
    centre, extent = (rows[:, :2] + cells) * strides, rows[:, 2:4].exp() * strides
    boxes = centre_to_corners(torch.cat([centre, extent], 1))
    best, classes = rows[:, 5:].max(1)
    scores = rows[:, 4] * best
    passed = scores >= CONFIDENCE
    boxes, scores, classes = boxes[passed], scores[passed], classes[passed]
    kept = torchvision.ops.batched_nms(boxes, scores, classes, iou)[:LIMIT]
    return boxes[kept], scores[kept], classes[kept]


def make(network, classes, size, decode, iou, *, layout, library, anchors, **input):
    network.eval()
    inputs = [prepare(read(path), size, "letterbox", **input)[0] for path in COCO]
    calibrate.settle(network, inputs)
    calibrate.round_weights(network)
    heads = list(network.heads)
    calibrate.normalise(heads, network, inputs, std=0.7, bias_std=0.3)
    for head in heads:
        bias = head.bias.view(anchors, 5 + classes)
        bias[:, 4] -= 2.8  # most cells are empty
        bias[:, 5:] += 0.8
    exported = "grids.pt"
    torch.jit.trace(network, inputs[0]).save(exported)
    photos = []
    for path in COCO:
        x, back = prepare(read(path), size, "letterbox", **input)
        boxes, scores, found = decode(network(x)[0], size, iou)
        photos.append(photo(path, torch.cat([back(boxes), scores[:, None], found[:, None]], 1).tolist()))
    return reference(
        exported, photos, library=library, layout=layout, classes=classes, confidence=CONFIDENCE, iou=iou, limit=LIMIT,
        size=list(size), fit="letterbox", **input,
    )


def yolov5():
    library = f"non_max_suppression of ultralytics/yolov5 v7.0, restated; torchvision {torchvision.__version__}"
    return make(YoloV5(6), 6, (320, 320), yolov5_boxes, 0.45, layout="yolov5", library=library, anchors=3)


def yolox():
    library = f"postprocess of Megvii-BaseDetection/YOLOX, restated; torchvision {torchvision.__version__}"
    input = dict(colour="bgr", scale=1.0)
    return make(Yolox(8), 8, (416, 256), yolox_boxes, 0.65, layout="yolox", library=library, anchors=1, **input)
