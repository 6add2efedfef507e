#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets from real streams: `make.py CLIP`, with torchenc where GStreamer finds it."""
import os, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))


def units(data):
    at = 0
    while at < len(data):
        kind, length, shift, begin, at = data[at + 2], 0, 0, at, at + 3
        while True:
            byte = data[at]
            length |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                break
        yield kind, data[begin : at + 3 + length], data[at + 3 : at + 3 + length]
        at += 3 + length


for number, (quality, form) in enumerate([(20, "I420"), (50, "I420"), (80, "I420"), (50, "Y444"), (50, "GRAY8"), (50, "Y42B")]):
    with tempfile.NamedTemporaryFile(suffix=".tvc") as file:
        caps = f"video/x-raw,format={form},width=50,height=50,pixel-aspect-ratio=1/1"
        line = f"filesrc location={sys.argv[1]} ! decodebin ! videoconvert ! videoscale ! {caps} ! identity eos-after=7"
        line += f" ! torchenc quality={quality} key-int-max=3 ! filesink location={file.name}"
        subprocess.run(["gst-launch-1.0", "-q", *line.split()], check=True)
        found = list(units(open(file.name, "rb").read()))
    shape = 7 | 7 << 3 | {"GRAY8": 0, "I420": 1, "Y42B": 2, "Y444": 3}[form] << 6
    intra = [payload for kind, _, payload in found if kind == ord("I")]
    inter = [payload for kind, _, payload in found if kind == ord("P")]
    for index, (first, second) in enumerate(zip(intra, inter)):
        with open(f"{here}/pictures/{number}-{index}", "wb") as seed:
            seed.write(bytes([shape]) + len(first).to_bytes(2, "big") + first + second)
    for index, (kind, whole, payload) in enumerate(found[:3]):
        with open(f"{here}/units/{number}-{index}", "wb") as seed:
            seed.write(payload if kind == ord("S") and index else whole)
