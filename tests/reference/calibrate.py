"""Makes a network with random weights behave like a trained one: activations of unit size, some boxes above the threshold,
sizes and scores of all kinds. Weights keep few digits, so that their files pack well."""

import math

import torch
from torch import nn


def settle(model, inputs):
    """Batch norms take the statistics of `inputs`. The first layer loses what it says about flat areas: how bright a photo
    is must not decide whether anything is found in it."""
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    first.weight.data -= first.weight.data.mean((1, 2, 3), keepdim=True)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain averages
        norm.train()
    for x in inputs:
        model(x)
    for norm in norms:
        norm.eval()


def round_weights(model, kept=0.5):
    """Leaves of the larger weights of every layer the nearest power of two, of the others nothing."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.numel() > 256:
            weight = module.weight.data
            least = weight.abs().flatten().kthvalue(max(1, int(weight.numel() * (1 - kept)))).values
            mantissa, exponent = torch.frexp(weight)
            nearest = torch.ldexp(torch.where(mantissa.abs() < 0.75, 0.5, 1.0) * mantissa.sign(), exponent)
            module.weight.data = torch.where(weight.abs() > least, nearest, 0.0)


def record(modules, model, inputs):
    """What each of `modules` gives for all `inputs`: (channels, positions)."""
    seen = [[] for _ in modules]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out.movedim(1 if out.dim() == 4 else -1, 0).flatten(1)))
        for module, seen in zip(modules, seen)
    ]
    for x in inputs:
        model(x)
    for hook in hooks:
        hook.remove()
    return [torch.cat(parts, 1) for parts in seen]


def normalise(modules, model, inputs, std, mean=0.0, bias_std=0.0):
    """Scales the last layers of a head so that every channel has these moments over `inputs`; `bias_std` spreads the
    channels' means."""
    for module, values in zip(modules, record(modules, model, inputs)):
        gain = std / values.std(1).clamp_min(1e-6)
        shape = [-1] + [1] * (module.weight.dim() - 1)
        module.weight.data *= gain.view(shape)
        if module.bias is None:
            continue
        centre = (values.mean(1) - module.bias.data) * gain
        module.bias.data = mean - centre + torch.randn_like(module.bias) * bias_std


def balance(modules, model, inputs):
    """Draws the weights of the last 1x1 convolutions anew, among those that respond to differences inside a photo rather
    than between photos; else one photo would be full of boxes and the next have none."""
    for module in modules:
        features = []
        hook = module.register_forward_pre_hook(lambda _m, args: features.append(args[0].flatten(2)[0].double()))
        for x in inputs:
            model(x)
        hook.remove()
        means = torch.stack([f.mean(1) for f in features])
        inside = sum(torch.cov(f) for f in features) / len(features)
        values, vectors = torch.linalg.eigh(inside + 1e-6 * inside.trace() * torch.eye(len(inside)))
        whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T
        _, _, directions = torch.linalg.svd((means - means.mean(0)) @ whiten, full_matrices=True)
        steady = directions[len(inside) // 2 :]
        weights = torch.randn(module.weight.shape[0], len(steady), dtype=torch.float64) @ steady @ whiten
        module.weight.data = weights.float().view_as(module.weight)


def lift(modules, model, inputs, confidence, candidates):
    """Shifts and scales the logits so that so many positions of the middle input pass the threshold, and the most
    confident of all is at 0.95: saturated scores would all be equal."""
    values = torch.cat([values.amax(0).view(len(inputs), -1) for values in record(modules, model, inputs)], 1)
    threshold = values.topk(candidates).values[:, -1].median()
    lowest, highest = [math.log(p / (1 - p)) for p in (confidence, 0.95)]
    gain = (highest - lowest) / (values.max() - threshold)
    for module in modules:
        module.weight.data *= gain
        module.bias.data = (module.bias.data - threshold) * gain + lowest
