"""Writes what tests/suite/layouts.rs, restore/reference.rs and generate/reference.rs compare with: small networks in
models/, what they give in expected/.

    python3 -m venv VENV && VENV/bin/pip install -r tests/reference/requirements.txt
    VENV/bin/python tests/reference/generate.py [NAME ...]

Every network has seeded weights, calibrated so that some boxes of each photo pass the threshold. Its boxes are those
that its own library gives, all the way from the file to pixels of the photo: ultralytics' predictors on their own
exports, torchvision's detectors in eager mode; for kinds whose library is not on PyPI, its published post-processing on
torchvision's NMS. The photos are read from ../shared/data and stay there; their pixels are pinned by a digest.
"""

import json
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import generators  # noqa: E402
import grids  # noqa: E402
import queries  # noqa: E402
import restorers  # noqa: E402
import torchvision_detectors  # noqa: E402
import ultraface  # noqa: E402
import ultralytics_networks  # noqa: E402
from archive import pack  # noqa: E402

# Each makes a Reference: see reference.py.
MAKERS = {
    "yolov5": grids.yolov5,
    "yolov8": ultralytics_networks.yolov8,
    "yolo11": ultralytics_networks.yolo11,
    "yolov10": ultralytics_networks.yolov10,
    "yolo26": ultralytics_networks.yolo26,
    "rtdetr": ultralytics_networks.rtdetr,
    "yolox": grids.yolox,
    "detr": queries.detr,
    "deformable-detr": queries.deformable_detr,
    "torchvision-ssd": torchvision_detectors.ssd,
    "torchvision-retinanet": torchvision_detectors.retinanet,
    "ultraface": ultraface.ultraface,
}


def write(name, reference):
    if reference.exported is not None:
        pack(reference.exported, HERE / "models" / f"{name}.pt")
    head = {key: value for key, value in vars(reference).items() if key not in ("exported", "photos")}
    photos = ",\n".join("    " + json.dumps(photo, separators=(",", ":")) for photo in reference.photos)
    text = json.dumps(head, indent=2)[:-2] + f',\n  "photos": [\n{photos}\n  ]\n}}\n'
    (HERE / "expected" / f"{name}.json").write_text(text)
    boxes = sum(len(photo["boxes"]) for photo in reference.photos)
    print(f"{name}: {boxes} boxes on {len(reference.photos)} photos", flush=True)


def write_restorer(name, reference):
    """Pictures of one size, byte after byte, and beside them what they are."""
    torch.jit.save(reference.exported, "restorer.pt")
    pack("restorer.pt", HERE / "models" / f"{name}.pt")
    height, width, channels = reference.pictures[0].shape
    head = {"size": [width, height], "channels": channels, "pictures": len(reference.pictures)} | reference.facts
    (HERE / "expected" / f"{name}.json").write_text(json.dumps(head, indent=2) + "\n")
    (HERE / "expected" / f"{name}.bytes").write_bytes(b"".join(picture.tobytes() for picture in reference.pictures))
    print(f"{name}: {reference.facts}", flush=True)


def write_generator(name, reference):
    """Latents as numbers, and the picture of each, byte after byte."""
    if reference.exported is not None:
        torch.jit.save(reference.exported, "generator.pt")
        pack("generator.pt", HERE / "models" / f"{name}.pt")
    count, height, width, channels = reference.pictures.shape
    head = {"size": [width, height], "channels": channels, "latent": list(reference.latents.shape[1:])}
    latents = ",\n".join("    " + json.dumps(latent.flatten().tolist()) for latent in reference.latents)
    text = json.dumps(head, indent=2)[:-2] + f',\n  "latents": [\n{latents}\n  ]\n}}\n'
    (HERE / "expected" / f"{name}.json").write_text(text)
    (HERE / "expected" / f"{name}.bytes").write_bytes(reference.pictures.tobytes())
    print(f"{name}: {count} pictures, mean level {reference.pictures.mean():.1f}", flush=True)


def main():
    os.chdir(tempfile.mkdtemp())  # where ultralytics leaves its exports
    names = sys.argv[1:] or [*MAKERS, *restorers.MAKERS, *generators.MAKERS]
    for name in (name for name in names if name in restorers.MAKERS):
        write_restorer(name, restorers.MAKERS[name]())
    for name in (name for name in names if name in generators.MAKERS):
        write_generator(name, generators.MAKERS[name]())
    torch.set_grad_enabled(False)
    for name in (name for name in names if name in MAKERS):
        torch.manual_seed(20)
        numpy.random.seed(20)
        random.seed(20)
        write(name, MAKERS[name]())


if __name__ == "__main__":
    main()
