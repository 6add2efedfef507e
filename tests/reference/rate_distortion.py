"""Prints what other implementations say of the examples in the unit tests of models/src/metrics/{ssim,bd}.rs.

    python -m venv venv && venv/bin/pip install scikit-image==0.26.0 bjontegaard==1.3.0
    venv/bin/python tests/reference/rate_distortion.py
"""

import bjontegaard
import numpy
from skimage.metrics import structural_similarity

PAIRS = [
    (
        ([85.95, 157.11, 309.58, 686.76], [31.42, 34.24, 37.18, 40.28]),
        ([112.75, 204.93, 407.8, 893.34], [31.24, 34.17, 37.21, 40.39]),
    ),
    (
        ([1358.24, 2486.44, 4593.60, 9487.76], [34.851, 36.845, 38.615, 40.037]),
        ([1356.24, 2451.52, 4469.00, 9787.80], [34.987, 36.970, 38.651, 40.121]),
    ),
]
for anchor, tested in PAIRS:
    print("BD-rate", bjontegaard.bd_rate(*anchor, *tested, method="pchip"))

y, x = numpy.mgrid[0:29, 0:37]
original = ((x * 7 + y * 13 + x * y // 5) % 256).astype(numpy.uint8)
decoded = numpy.clip(original.astype(int) + (x * 31 + y * 17) % 23 - 11, 0, 255).astype(numpy.uint8)
print("SSIM", structural_similarity(
    original, decoded, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
))
