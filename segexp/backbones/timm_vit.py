"""Plain vision transformers of timm as backbones: four levels, all at the stride of the patches."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from segexp.backbones.geometry import made
from segexp.backbones.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetched, fill, per_channel, require_name
from segexp.errors import ConfigError
from segexp.functional.imports import without
from segexp.types import DataSpec, Features, FeatureSpec, Level

with without("wandb"):  # timm imports it for a training script of its own
    import timm
    from timm.layers import resample_abs_pos_embed

LEVELS = ("c2", "c3", "c4", "c5")
FITTING = ("vit_tiny_patch16_224", "deit_small_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch16_dinov3")


class TimmViT(nn.Module):
    """Features `c2..c5`: the patch tokens after a quarter, half, three quarters and all of the blocks, before the last norm.

    Images of any size: position embeddings are resampled to the grid of patches.

    Args:
        data: the data set; sets the number of input channels.
        name: timm's name of the transformer.
        output_stride: the side of a patch, which is the stride of every level; null takes what the network has.
        weights: `null` (random), `hub` (timm's pretrained weights, downloaded), a file, or `run:<directory or id>`.
            Read by `segexp.build`, after the chain was checked.
        drop_path: stochastic depth.

    Raises:
        ConfigError: there is no such transformer, or its patches have another side.
    """

    net: Any  # timm's modules have attributes that torch's type doesn't know

    def __init__(
        self, data: DataSpec, *, name: str, output_stride: int | None = None, weights: str | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        require_name(name, timm.list_models(), library="timm")
        self.net = made(partial(_create, name, data.in_channels, drop_path))
        count, stride = len(self.net.blocks), self.net.patch_embed.feat_ratio()
        if output_stride not in (None, stride):
            raise ConfigError(
                f"the patches of {name} have the side {stride}, so that no level has stride {output_stride}",
                where="backbone.output_stride",
                fix=f"backbone.output_stride={stride}",
            )
        self.blocks = [count * (i + 1) // 4 - 1 for i in range(4)]
        self.net.prune_intermediate_layers(self.blocks, prune_norm=True, prune_head=True)
        self.spec: FeatureSpec = {level: Level(self.net.embed_dim, stride) for level in LEVELS}
        self.pad_to = stride
        pretrained = timm.get_pretrained_cfg(name)
        self.mean = per_channel(pretrained.mean if pretrained else IMAGENET_MEAN, data.in_channels)
        self.std = per_channel(pretrained.std if pretrained else IMAGENET_STD, data.in_channels)

    def forward(self, images: Tensor) -> Features:
        """Images [B,C,H,W], normalised and padded to a multiple of `pad_to`."""
        levels = self.net.forward_intermediates(images, indices=self.blocks, norm=False, intermediates_only=True)  # [B,D,h,w] each
        return dict(zip(LEVELS, levels, strict=True))

    def hub_state(self) -> dict[str, Tensor]:
        """timm's pretrained weights of this transformer.

        Raises:
            WeightsError: there are none, or they can't be fetched.
        """
        return fetched(self.name, lambda: timm.create_model(self.name, pretrained=True).state_dict())

    def load(self, state: dict[str, Tensor], source: str) -> list[str]:
        """Copy weights under timm's names, position embeddings of another grid resampled; see `segexp.backbones.pretrained.fill`."""
        wanted, given = getattr(self.net, "pos_embed", None), state.get("pos_embed")
        if wanted is not None and given is not None and given.ndim == 3 and given.shape != wanted.shape:
            prefix = 0 if self.net.no_embed_class else self.net.num_prefix_tokens
            grid = list(self.net.patch_embed.grid_size)
            state = state | {"pos_embed": resample_abs_pos_embed(given.float(), grid, num_prefix_tokens=prefix)}
        return fill(self.net, state, name=self.name, library="timm", source=source)


def _create(name: str, in_channels: int, drop_path: float) -> Any:
    try:
        net: Any = timm.create_model(name, num_classes=0, in_chans=in_channels, drop_path_rate=drop_path, dynamic_img_size=True)
        if net.patch_embed.feat_ratio() and len(net.blocks) >= 4 and net.prune_intermediate_layers:
            return net
    except (TypeError, AttributeError) as error:  # a network of another kind takes no dynamic_img_size, or has no blocks
        raise _no_transformer(name) from error
    raise _no_transformer(name)


def _no_transformer(name: str) -> ConfigError:
    return ConfigError(
        f"timm's {name} is no plain vision transformer for images of any size",
        where="backbone.name",
        fix=f"backbone=timm for convolutional networks, or one such as {', '.join(FITTING)}",
    )
