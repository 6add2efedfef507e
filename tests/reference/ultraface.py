"""The face detector of Ultra-Light-Fast-Generic-Face-Detector-1MB (slim, 320x240) with its published weights, which are read
from the shared data. tests/suite/layouts.rs makes its TorchScript file with the network of models/src/detect/ultraface.rs;
here are the same network and the project's post-processing in PyTorch."""

import torch
from torch import nn

from reference import DATA, FACES, photo, prepare, read, reference

SIZE, CONFIDENCE, IOU, LIMIT = (320, 240), 0.7, 0.3, 100
INPUT = dict(scale=1.0, mean=(127.0,) * 3, std=(128.0,) * 3)
MIN_BOXES = [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]]
STRIDES = [8, 16, 32, 64]


def block(a, b, stride, depthwise):
    def unit(a, b, size, stride, groups=1):
        return [nn.Conv2d(a, b, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    return nn.Sequential(*(unit(a, a, 3, stride, a) + unit(a, b, 1, 1) if depthwise else unit(a, b, 3, stride)))


def separable(a, b, stride=1):
    return nn.Sequential(nn.Conv2d(a, a, 3, stride, 1, groups=a), nn.ReLU(), nn.Conv2d(a, b, 1))


class Slim(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [(3, 16, 2), (16, 32, 1), (32, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1), (64, 64, 1)]
        widths += [(64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
        self.base_net = nn.Sequential(*(block(*w, depthwise=i > 0) for i, w in enumerate(widths)))
        self.extras = nn.ModuleList([nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), separable(64, 256, 2), nn.ReLU())])

        def heads(numbers):
            wide = [separable(c, n * numbers) for c, n in [(64, 3), (128, 2), (256, 2)]]
            return nn.ModuleList([*wide, nn.Conv2d(256, 3 * numbers, 3, 1, 1)])

        self.classification_headers, self.regression_headers = heads(2), heads(4)

    def forward(self, x):
        maps = []
        for i, layer in enumerate(self.base_net):
            x = layer(x)
            if i in (7, 10, 12):
                maps.append(x)
        maps.append(self.extras[0](x))
        rows = [
            torch.cat([head(m).permute(0, 2, 3, 1).reshape(1, -1, n) for head, m in zip(heads, maps)], 1)
            for heads, n in ((self.classification_headers, 2), (self.regression_headers, 4))
        ]
        return rows[0].softmax(2), corners(rows[1])


def priors():
    """Centre and size of every default box, of 1 in both directions."""
    rows = []
    for stride, sides in zip(STRIDES, MIN_BOXES):
        for y in range(-(-SIZE[1] // stride)):
            for x in range(-(-SIZE[0] // stride)):
                for side in sides:
                    rows.append([(x + 0.5) * stride / SIZE[0], (y + 0.5) * stride / SIZE[1], side / SIZE[0], side / SIZE[1]])
    return torch.tensor(rows).clamp(0, 1)


def corners(offsets):
    default = priors()
    centre = offsets[..., :2] * 0.1 * default[:, 2:] + default[:, :2]
    half = (offsets[..., 2:] * 0.2).exp() * default[:, 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def hard_nms(boxes, scores, iou):
    """`vision/utils/box_utils.py`, with its 1e-5 under the fraction."""
    order, kept = scores.argsort(descending=True), []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        low, high = torch.maximum(boxes[first, :2], boxes[order, :2]), torch.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
        order = order[shared / (area[first] + area[order] - shared + 1e-5) <= iou]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)


def ultraface():
    network = Slim().eval()
    network.load_state_dict(torch.load(DATA / "ultraface/models/pretrained/version-slim-320.pth", map_location="cpu"))
    photos = []
    for path in FACES:
        image = read(path)
        x, _ = prepare(image, SIZE, "stretch", **INPUT)
        scores, boxes = [out[0] for out in network(x)]
        passed = scores[:, 1] > CONFIDENCE
        boxes, scores = boxes[passed], scores[passed, 1]
        kept = hard_nms(boxes, scores, IOU)[:LIMIT]
        size = torch.tensor([image.shape[1], image.shape[0]] * 2)
        placed = (boxes[kept] * size).clamp(min=0).minimum(size)
        rows = torch.cat([placed, scores[kept, None], torch.zeros(len(kept), 1)], 1)
        photos.append(photo(path, rows.tolist()))
    return reference(
        None, photos, library="Predictor of Ultra-Light-Fast-Generic-Face-Detector-1MB, restated", layout="ssd", classes=1,
        confidence=CONFIDENCE, iou=IOU, limit=LIMIT, size=list(SIZE), fit="stretch", **{k: list(v) if k != "scale" else v for k, v in INPUT.items()},
    )
