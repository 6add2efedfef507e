"""Users' restorers, of the architectures that are around: what their own code makes of a picture.

DnCNN (Zhang et al. 2017): 17 convolutions, batch norm, no bias; gives the noise, which its authors subtract from the
picture and clamp. Zero-DCE (Guo et al. 2020): 7 convolutions give 8 curves a channel; its forward returns the picture
after 4 of them, the picture after all 8, and the curves, and its authors save the second. Both are trained here for
seconds only, so that what they do can be told from doing nothing.
"""

from types import SimpleNamespace

import numpy
import torch
from torch import nn
from torch.nn import functional

from reference import COCO, read


STEPS = 1600


class DnCNN(nn.Module):
    def __init__(self, channels, layers=17, features=16):
        super().__init__()
        inner = []
        for _ in range(layers - 2):
            inner += [nn.Conv2d(features, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU()]
        self.dncnn = nn.Sequential(
            nn.Conv2d(channels, features, 3, padding=1, bias=False),
            nn.ReLU(),
            *inner,
            nn.Conv2d(features, channels, 3, padding=1, bias=False),
        )

    def forward(self, x):
        return self.dncnn(x)


class ZeroDCE(nn.Module):
    def __init__(self, features=16):
        super().__init__()
        pair = 2 * features
        self.e1 = nn.Conv2d(3, features, 3, 1, 1)
        self.e2 = nn.Conv2d(features, features, 3, 1, 1)
        self.e3 = nn.Conv2d(features, features, 3, 1, 1)
        self.e4 = nn.Conv2d(features, features, 3, 1, 1)
        self.e5 = nn.Conv2d(pair, features, 3, 1, 1)
        self.e6 = nn.Conv2d(pair, features, 3, 1, 1)
        self.e7 = nn.Conv2d(pair, 24, 3, 1, 1)

    def forward(self, x):
        x1 = torch.relu(self.e1(x))
        x2 = torch.relu(self.e2(x1))
        x3 = torch.relu(self.e3(x2))
        x4 = torch.relu(self.e4(x3))
        x5 = torch.relu(self.e5(torch.cat([x3, x4], 1)))
        x6 = torch.relu(self.e6(torch.cat([x2, x5], 1)))
        curves = torch.tanh(self.e7(torch.cat([x1, x6], 1)))
        picture = x
        half = x
        for step, curve in enumerate(torch.split(curves, 3, dim=1)):
            picture = picture + curve * (picture * picture - picture)
            if step == 3:
                half = picture
        return half, picture, curves


def patches(count, side, channels, generator):
    photos = [read(path) for path in COCO]
    out = []
    for _ in range(count):
        photo = photos[int(torch.randint(len(photos), (1,), generator=generator))]
        y, x = (int(torch.randint(limit - side, (1,), generator=generator)) for limit in photo.shape[:2])
        out.append(torch.from_numpy(photo[y : y + side, x : x + side].copy()).permute(2, 0, 1) / 255)
    batch = torch.stack(out)
    return batch if channels == 3 else grey(batch)


def grey(batch):
    return (batch * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def bytes_of(picture):
    """As an image file holds it, (height, width, channels)."""
    return (picture.clamp(0, 1)[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def psnr(a, b):
    return float(10 * numpy.log10(255**2 / numpy.mean((a.astype(float) - b.astype(float)) ** 2)))


def clean_picture(channels):
    """Drawn, so that it can lie in the repository: shades, discs with hard edges, and stripes; odd sides."""
    y, x = torch.meshgrid(torch.arange(163.0), torch.arange(201.0), indexing="ij")
    planes = []
    for channel in range(3):
        plane = 0.45 + 0.2 * torch.sin(x / 31 + channel) * torch.cos(y / 23)
        plane[(x - 60) ** 2 + (y - 70) ** 2 < 1600] = 0.2 + 0.25 * channel
        plane[(x - 150) ** 2 + (y - 100) ** 2 < 900] = 0.8 - 0.2 * channel
        stripes = (y > 130) & (x % 12 < 6)
        plane[stripes] = 0.15 * plane[stripes] + 0.6
        planes.append(plane)
    picture = torch.stack(planes)[None]
    return picture if channels == 3 else grey(picture)


def dncnn(channels):
    generator = torch.Generator().manual_seed(11)
    torch.manual_seed(11)
    net = DnCNN(channels)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / STEPS)
        batch = patches(16, 40, channels, generator)
        noise = torch.randn(batch.shape, generator=generator) * 25 / 255
        loss = functional.mse_loss(net(batch + noise), noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    clean = clean_picture(channels)
    noisy = bytes_of(clean + torch.randn(clean.shape, generator=generator) * 25 / 255)
    x = torch.from_numpy(noisy).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        restored = bytes_of(torch.clamp(x - net(x), 0, 1))
    traced = torch.jit.trace(net, torch.rand(1, channels, 64, 64))
    facts = {"psnr-noisy": psnr(bytes_of(clean), noisy), "psnr-restored": psnr(bytes_of(clean), restored)}
    return SimpleNamespace(exported=traced, pictures=[noisy, restored, bytes_of(clean)], facts=facts)


def zero_dce():
    generator = torch.Generator().manual_seed(12)
    torch.manual_seed(12)
    net = ZeroDCE()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(120):
        batch = patches(8, 48, 3, generator) * 0.25
        _, picture, _ = net(batch)
        local = functional.avg_pool2d(picture.mean(1, keepdim=True), 16)
        loss = ((local - 0.6) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()
    dark = bytes_of(clean_picture(3) * 0.25)
    x = torch.from_numpy(dark).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        half, picture, _ = net(x)
    pictures = [dark, bytes_of(picture), bytes_of(half)]
    facts = {name: float(p.mean()) for name, p in zip(("dark", "restored", "half"), pictures)}
    return SimpleNamespace(exported=torch.jit.script(net), pictures=pictures, facts=facts)


MAKERS = {"dncnn-gray": lambda: dncnn(1), "dncnn-colour": lambda: dncnn(3), "zero-dce": zero_dce}
