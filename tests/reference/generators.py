"""Users' generators, of the kinds that are around: what their own code makes of given latents.

A GAN of linear layers (BeierZhu's GAN-MNIST-Pytorch, whose weights csinva trained for 300 epochs: ../shared/data), a
convolutional one (Radford et al. 2016, DCGAN, as pytorch/examples has it), a VAE's decoder (Kingma and Welling 2014, as
pytorch/examples has it) and the decoder of a convolutional autoencoder. But for the first, whose weights stay where they
are, networks are narrower than their authors', seeded, and trained for seconds at most: what counts is that the pictures
are those that the authors' code saves.
"""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional

from reference import COCO, DATA, read

CHECKPOINT = DATA / "csinva-gan-vae/mnist_gan_mlp/weights/G--300.ckpt"
PICTURES = 4


def bytes_of(pictures):
    """What torchvision's save_image makes of numbers of 0 to 1: (N, height, width, channels)."""
    return pictures.mul(255).add_(0.5).clamp_(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()


def mlp_gan():
    """784 numbers of -1 to 1; its authors save (x + 1) / 2, clamped."""
    net = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh()
    )
    net.load_state_dict(torch.load(CHECKPOINT, map_location="cpu", weights_only=True))
    net.eval()
    latents = torch.randn(PICTURES, 64, generator=torch.Generator().manual_seed(1))
    pictures = ((net(latents) + 1) / 2).clamp(0, 1).view(-1, 1, 28, 28)
    return SimpleNamespace(exported=None, latents=latents, pictures=bytes_of(pictures))


class DCGAN(nn.Module):
    def __init__(self, channels, features=4, latent=100):
        super().__init__()

        def block(inputs, outputs, kernel, stride, padding):
            convolution = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=False)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(True)]

        self.main = nn.Sequential(
            *block(latent, features * 8, 4, 1, 0),
            *block(features * 8, features * 4, 4, 2, 1),
            *block(features * 4, features * 2, 4, 2, 1),
            *block(features * 2, features, 4, 2, 1),
            nn.ConvTranspose2d(features, channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.main(x)


def dcgan(channels):
    """-1 to 1; its authors save with normalize=True, which for pictures that reach both ends is (x + 1) / 2."""
    torch.manual_seed(31)
    net = DCGAN(channels)
    for module in net.modules():
        if isinstance(module, nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.1)
    with torch.no_grad():  # running statistics of the batch norms
        for _ in range(20):
            net(torch.randn(64, 100, 1, 1))
    net.eval()
    latents = torch.randn(PICTURES, 100, 1, 1)
    pictures = ((net(latents) + 1) / 2).clamp(0, 1)
    return SimpleNamespace(exported=torch.jit.trace(net, latents[:1]), latents=latents, pictures=bytes_of(pictures))


class VAEDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc3 = nn.Linear(20, 64)
        self.fc4 = nn.Linear(64, 784)

    def forward(self, z):
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z))))


def vae():
    """784 numbers of 0 to 1, which its authors save as they are."""
    torch.manual_seed(32)
    net = VAEDecoder().eval()
    with torch.no_grad():
        net.fc4.weight *= 20
    latents = torch.randn(PICTURES, 20)
    pictures = net(latents).view(-1, 1, 28, 28)
    return SimpleNamespace(exported=torch.jit.script(net), latents=latents, pictures=bytes_of(pictures))


class AutoencoderDecoder(nn.Module):
    """Upsamples and convolves; no function at the end, so that pictures leave 0 to 1 a little."""

    def __init__(self, latent=8):
        super().__init__()
        self.a = nn.Conv2d(latent, 24, 3, padding=1)
        self.b = nn.Conv2d(24, 24, 3, padding=1)
        self.c = nn.Conv2d(24, 3, 3, padding=1)

    def forward(self, x):
        x = functional.interpolate(functional.relu(self.a(x)), scale_factor=2.0, mode="nearest")
        x = functional.interpolate(functional.relu(self.b(x)), scale_factor=2.0, mode="nearest")
        return self.c(x)


def autoencoder():
    """Trained for a minute to give photos of 64 x 64 back; what it gives is clamped and saved."""
    torch.manual_seed(33)
    encoder = nn.Sequential(nn.Conv2d(3, 24, 4, 4), nn.ReLU(), nn.Conv2d(24, 8, 3, padding=1))
    decoder = AutoencoderDecoder()
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 2e-3)
    photos = [torch.from_numpy(read(path)).permute(2, 0, 1)[None] / 255 for path in COCO]
    small = torch.cat([functional.interpolate(photo, (64, 64), mode="area") for photo in photos])
    for _ in range(400):
        loss = functional.mse_loss(decoder(encoder(small)), small)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    decoder.eval()
    with torch.no_grad():
        latents = encoder(small[:PICTURES])
        pictures = decoder(latents).clamp(0, 1)
    return SimpleNamespace(exported=torch.jit.script(decoder), latents=latents, pictures=bytes_of(pictures))


MAKERS = {
    "gan-mlp": mlp_gan,
    "dcgan": lambda: dcgan(3),
    "vae": vae,
    "autoencoder": autoencoder,
}
