"""DETR-type networks: a set of queries, each with a box and class logits. The modules are our own and tiny; outputs,
names and post-processing are those of the published code (facebookresearch/detr, fundamentalvision/Deformable-DETR)."""

import torch
from torch import nn

import calibrate
from reference import COCO, centre_to_corners, photo, prepare, read, reference

SIZE, QUERIES, CONFIDENCE, LIMIT = (224, 160), 70, 0.3, 100
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


class Queries(nn.Module):
    """The cells of a 1/16 map and learned positions are the queries: enough to give boxes that depend on the photo."""

    def __init__(self, logits, names):
        super().__init__()
        channels = [3, 8, 16, 24, 32]
        self.backbone = nn.Sequential()
        for a, b in zip(channels, channels[1:]):
            self.backbone.extend([nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()])
        self.places = nn.Parameter(torch.randn(QUERIES, 32))
        self.mix = nn.Conv1d(14 * 10, QUERIES, 1)
        self.hidden = nn.Linear(32, 32)
        self.boxes = nn.Linear(32, 4)
        self.scores = nn.Linear(32, logits)
        self.names = names

    def forward(self, x):
        cells = self.backbone(x).flatten(2).transpose(1, 2)
        queries = torch.relu(self.hidden(torch.tanh(self.mix(cells)) + self.places))
        logits, boxes = self.scores(queries), self.boxes(queries).sigmoid()
        return {"pred_logits": logits, "pred_boxes": boxes} if self.names else (logits, boxes)


def make(logits, names, post, *, layout, classes, library):
    network = Queries(logits, names).eval()
    inputs = [prepare(read(path), SIZE, "stretch", **IMAGENET)[0] for path in COCO]
    calibrate.settle(network, inputs)
    calibrate.round_weights(network)
    calibrate.normalise([network.boxes], network, inputs, std=0.6, bias_std=0.4)
    calibrate.normalise([network.scores], network, inputs, std=1.2, bias_std=0.5)
    if not names:
        network.scores.bias -= 2.5  # most classes of most queries are not there
    exported = "queries.pt"
    torch.jit.trace(network, inputs[0], strict=False).save(exported)
    photos = []
    for path in COCO:
        image = read(path)
        x, _ = prepare(image, SIZE, "stretch", **IMAGENET)
        out = network(x)
        logits, boxes = (out["pred_logits"], out["pred_boxes"]) if names else out
        size = torch.tensor([image.shape[1], image.shape[0]] * 2)
        scores, labels, boxes = post(logits[0], boxes[0])
        boxes = centre_to_corners(boxes) * size
        boxes = boxes.clamp(min=0).minimum(size)  # what the element does after mapping back
        rows = torch.cat([boxes, scores[:, None], labels[:, None]], 1)[scores > CONFIDENCE]
        rows = rows[rows[:, 4].argsort(descending=True)][:LIMIT]
        photos.append(photo(path, rows.tolist()))
    return reference(
        exported, photos, library=library, layout=layout, classes=classes, confidence=CONFIDENCE, iou=0.7, limit=LIMIT,
        size=list(SIZE), fit="stretch", **{key: list(value) for key, value in IMAGENET.items()},
    )


def detr():
    def post(logits, boxes):
        scores, labels = logits.softmax(-1)[..., :-1].max(-1)
        return scores, labels, boxes

    return make(6, True, post, layout="detr-softmax", classes=5, library="PostProcess of facebookresearch/detr, restated")


def deformable_detr():
    def post(logits, boxes):
        probabilities = logits.sigmoid().flatten()
        scores, index = probabilities.topk(LIMIT)
        return scores, index % logits.shape[1], boxes[index // logits.shape[1]]

    library = "PostProcess of fundamentalvision/Deformable-DETR, restated"
    return make(5, False, post, layout="detr-sigmoid", classes=5, library=library)
