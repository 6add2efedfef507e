"""What a reference is, the photos, and the preparation of inputs that cards describe."""

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy
import torch

DATA = Path(os.environ.get("GST_TORCH_DATA", Path(__file__).resolve().parents[2] / "../shared/data")).resolve()
COCO = sorted((DATA / "coco128/images/train2017").glob("*.jpg"))[:20]
FACES = sorted((DATA / "ultraface/imgs").glob("*.jpg")) + COCO[:10]


def read(path):
    """RGB, uint8, (height, width, 3)."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1].copy()


def photo(path, boxes):
    """`boxes` are rows of x1, y1, x2, y2 (pixels of the photo), score, class."""
    rows = [[round(float(v), 3) for v in b[:4]] + [round(float(b[4]), 6), int(b[5])] for b in boxes]
    digest = hashlib.sha256(read(path).tobytes()).hexdigest()
    return {"file": str(path.relative_to(DATA)), "rgb": digest, "boxes": rows}


def reference(exported, photos, *, library, layout, classes, confidence, iou, limit, **input):
    """`input` in the words of a card, except `fit`, which may also be `none`: the photo as it is."""
    spec = {"size": [0, 0], "colour": "rgb", "fit": "letterbox", "pad": 114, "scale": 255.0}
    return SimpleNamespace(
        library=library, layout=layout, classes=classes, confidence=confidence, iou=iou, max_detections=limit,
        input=spec | {"mean": [0.0] * 3, "std": [1.0] * 3} | input, exported=exported, photos=photos,
    )


def prepare(image, size, fit, colour="rgb", pad=114, scale=255.0, mean=(0.0,) * 3, std=(1.0,) * 3):
    """The input tensor of an RGB image, and a function that maps corners back to the image and clips them."""
    height, width = image.shape[:2]
    if fit == "stretch":
        placed = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        left = top = 0
        gain = (size[0] / width, size[1] / height)
    else:
        ratio = min(size[0] / width, size[1] / height)
        inner = (round(width * ratio), round(height * ratio))
        left, top = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
        placed = numpy.full((size[1], size[0], 3), pad, numpy.uint8)
        placed[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
        gain = (inner[0] / width, inner[1] / height)
    if colour == "bgr":
        placed = placed[..., ::-1]
    pixels = torch.from_numpy(placed.copy()).permute(2, 0, 1)[None].float() / scale
    pixels = (pixels - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)

    def back(corners):
        shifted = corners - torch.tensor([left, top, left, top])
        scaled = shifted / torch.tensor([*gain, *gain])
        return scaled.clamp(min=0).minimum(torch.tensor([width, height, width, height]))

    return pixels, back


def centre_to_corners(boxes):
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)
