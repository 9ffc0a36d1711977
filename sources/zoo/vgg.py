"""VGG-16 in torchvision's layout, so that its checkpoints load (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions); a stage ends with a pooling that halves both sides."""


class VGG(nn.Module):
    """VGG-16, with batch normalisation if `norm`."""

    def __init__(self, norm: bool, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(norm))
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x)).flatten(1)
        return self.classifier(x)  # type: ignore[no-any-return]


def _features(norm: bool) -> list[nn.Module]:
    parts: list[nn.Module] = []
    inputs = 3
    for channels, depth in STAGES:
        for _ in range(depth):
            parts.append(nn.Conv2d(inputs, channels, 3, padding=1))
            parts += [nn.BatchNorm2d(channels)] if norm else []
            parts.append(nn.ReLU(inplace=True))
            inputs = channels
        parts.append(nn.MaxPool2d(2))
    return parts
