"""Networks of other projects with random weights, and how far ours are from them after an import."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from segexp.build import chain, open_dataset, stages
from segexp.config import compose
from segexp.weights.foreign import load_weights

CLASSES = 21  # of data=voc
BOUND = 1e-4  # x max(1, standard deviation of the peer's logits)


def randomised(net, seed=0):
    """A network in eval mode with seeded weights, and statistics of BatchNorm that aren't those of a fresh one."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.0, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return net.eval()


def ours(overrides):
    """Our model of a config, in eval mode, for the 21 classes of VOC, as if it had segments."""
    config = compose("train", ["data=voc", *overrides])
    spec = replace(open_dataset(config).spec, provides=frozenset({"segments"}))
    return chain(spec, **stages(config)).model.eval()


def imported(net, overrides, folder, scheme="auto", wrap=dict):
    """Our model with a peer's weights, which went through a file; and the report of the import."""
    torch.save(wrap(net.state_dict()), folder / "peer.pth")
    model = ours(overrides)
    return model, load_weights(model, folder / "peer.pth", scheme=scheme)


def normalised(size, seed=0, batch=1):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, x):
    """Our head's output for an image that is normalised already, not padded: as peers take it."""
    levels = model.backbone(x)
    return model.head(levels | model.decoder(levels), (tuple(x.shape[-2:]),) * len(x), [{}] * len(x))


@torch.no_grad()
def peer_logits(net, last, x):
    """A peer's logits before its last resize, given out by the module `last`; and what it returns."""
    seen = []
    handle = net.get_submodule(last).register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        returned = net(x)
    finally:
        handle.remove()
    return seen[-1], returned


def resized(low, size, align_corners):
    return F.interpolate(low, size, mode="bilinear", align_corners=align_corners)


def difference(found, expected):
    """The largest difference in units of the bound: at most 1 is parity."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found - expected).abs().max() / (BOUND * max(1.0, float(expected.std()))))
