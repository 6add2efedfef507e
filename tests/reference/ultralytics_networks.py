"""Networks of ultralytics from its own yaml files, made narrow; exported by it and run by its predictors."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())

import torch  # noqa: E402
import ultralytics  # noqa: E402
import yaml  # noqa: E402
from ultralytics import RTDETR, YOLO  # noqa: E402
from ultralytics.models.rtdetr import RTDETRPredictor  # noqa: E402

import calibrate  # noqa: E402
from reference import COCO, photo, prepare, read, reference  # noqa: E402

CONFIDENCE, IOU, LIMIT = 0.25, 0.7, 300
LIBRARY = f"ultralytics {ultralytics.__version__}, torch {torch.__version__}"


def narrow(name, classes, edit=lambda config: None):
    """The yaml file of ultralytics with a sixteenth of the channels, in a temporary place."""
    path = next((Path(ultralytics.__file__).parent / "cfg/models").rglob(f"{name}.yaml"))
    config = yaml.safe_load(path.read_text())
    config["nc"] = classes
    config["scales"] = {"n": [0.33, 0.0625, 512]}
    edit(config)
    target = Path(tempfile.mkdtemp()) / f"{name.rstrip('n')}n.yaml"
    target.write_text(yaml.safe_dump(config))
    return str(target)


def inputs(size, fit):
    return [prepare(read(path), size, fit)[0] for path in COCO]


def finish(yolo, size, layout, classes, fit="letterbox", predictor=None):
    with torch.enable_grad():
        end_to_end = dict(nms=False) if layout == "end-to-end" else {}
        exported = yolo.export(format="torchscript", imgsz=(size[1], size[0]), device="cpu", **end_to_end)
    settings = dict(imgsz=(size[1], size[0]), conf=CONFIDENCE, iou=IOU, max_det=LIMIT, rect=False, verbose=False, device="cpu")
    if predictor is None:
        own = YOLO(exported, task="detect")
        run = lambda path: own.predict(path, **settings)  # noqa: E731
    else:
        run = predictor(overrides=dict(model=exported, task="detect", save=False, **settings))
    photos = []
    for path in COCO:
        (result,) = run(str(path))
        height, width = result.orig_shape
        boxes = result.boxes.data.clone()
        # RT-DETR's predictor is the only one that leaves this to the caller.
        boxes[:, :4] = boxes[:, :4].clamp(min=0).minimum(torch.tensor([width, height, width, height]))
        photos.append(photo(path, boxes.tolist()))
    return reference(
        exported, photos, library=LIBRARY, layout=layout, classes=classes, confidence=CONFIDENCE, iou=IOU, limit=LIMIT,
        size=list(size), fit=fit,
    )


def detector(name, classes, size, layout, candidates, distances):
    """`distances` scales and shifts the last layers that give the distances to the sides of the box."""
    yolo = YOLO(narrow(name, classes), task="detect")
    model, pictures = yolo.model.eval(), inputs(size, "letterbox")
    model.end2end = layout == "end-to-end"
    calibrate.settle(model, pictures)
    model.fuse()
    calibrate.round_weights(model)
    head = model.model[-1]
    branches = (head.one2one_cv2, head.one2one_cv3) if model.end2end else (head.cv2, head.cv3)
    boxes, scores = [[level[-1] for level in branch] for branch in branches]
    calibrate.normalise(boxes, model, pictures, **distances)
    calibrate.round_weights(model)
    calibrate.balance(scores, model, pictures)
    calibrate.normalise(scores, model, pictures, std=1.0, bias_std=0.2)
    calibrate.lift(scores, model, pictures, CONFIDENCE, candidates)
    return finish(yolo, size, layout, classes)


BINS = dict(std=1.0, bias_std=1.0)  # logits of 16 bins a side
STRIDES = dict(std=0.5, mean=8.0, bias_std=1.0)  # distances themselves


def yolov8():
    return detector("yolov8", 80, (640, 640), "yolov8", 4, BINS)


def yolo11():
    return detector("yolo11", 12, (640, 384), "yolov8", 6, BINS)


def yolov10():
    return detector("yolov10n", 7, (416, 416), "end-to-end", 4, BINS)


def yolo26():
    return detector("yolo26", 5, (320, 320), "end-to-end", 6, STRIDES)


def rtdetr():
    classes, size = 9, (320, 320)

    def edit(config):
        # Hidden size, queries, points, heads, layers, feed-forward size.
        config["head"][-1][-1] = ["nc", 32, 60, 4, 4, 2, 64]

    rtdetr = RTDETR(narrow("yolov8-rtdetr", classes, edit))
    model, pictures = rtdetr.model.eval(), inputs(size, "stretch")
    calibrate.settle(model, pictures)
    model.fuse()
    calibrate.round_weights(model)
    head = model.model[-1]
    calibrate.normalise([head.enc_score_head], model, pictures, std=1.5, bias_std=0.5)
    calibrate.normalise([head.enc_bbox_head.layers[-1]], model, pictures, std=0.5, bias_std=0.2)
    calibrate.normalise([h.layers[-1] for h in head.dec_bbox_head], model, pictures, std=0.5, bias_std=0.2)
    scores = [head.dec_score_head[-1]]
    calibrate.normalise(scores, model, pictures, std=1.5, bias_std=0.5)
    calibrate.round_weights(model)
    calibrate.lift(scores, model, pictures, CONFIDENCE, 12)
    return finish(rtdetr, size, "rtdetr", classes, fit="stretch", predictor=RTDETRPredictor)
