"""Random networks of everyday layers, drawn from a seed, and their symmetries by moved filters alone."""

import copy
import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACTIONS", "RandomNetwork", "find_symmetries"]

CHANNELS = 4
ACTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "90 deg": lambda x: torch.rot90(x, 1, (-2, -1)),
    "180 deg": lambda x: torch.rot90(x, 2, (-2, -1)),
    "270 deg": lambda x: torch.rot90(x, 3, (-2, -1)),
    "left-right": lambda x: x.flip(-1),
    "top-bottom": lambda x: x.flip(-2),
    "transpose": lambda x: x.transpose(-2, -1),
    "anti-transpose": lambda x: torch.rot90(x, 2, (-2, -1)).transpose(-2, -1),
}
EXACT, BROKEN = 1e-10, 1e-7


class Step(nn.Module):
    """A function of the features and of layers, by name."""

    def __init__(self, name: str, function: Callable[..., Tensor], *layers: nn.Module, **tensors: Tensor) -> None:
        super().__init__()
        self.name, self.function, self.layers = name, function, nn.ModuleList(layers)
        for key, tensor in tensors.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(key, tensor)
            else:
                self.register_buffer(key, tensor)

    def forward(self, x: Tensor) -> Tensor:
        named = {**dict(self._parameters), **dict(self._buffers)}
        return self.function(x, *self.layers, **named)

    def extra_repr(self) -> str:
        return self.name


class RandomNetwork(nn.Module):
    """A convolution, some random steps with non-linearities between them, and a random end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        torch.manual_seed(seed)
        self.size = rng.randint(11, 24)
        self.steps = nn.Sequential(nn.Conv2d(3, CHANNELS, 3, padding=1))
        shape = self.grow(CHANNELS, rng, rng.randint(1, 5))
        self.end = draw_end(rng, shape)

    def grow(self, channels: int, rng: random.Random, count: int) -> torch.Size:
        """Appends as many steps as fit."""
        features = self.run_steps(torch.randn(1, 3, self.size, self.size))
        for _ in range(count):
            kind = rng.choice(list(STEPS))
            step = STEPS[kind](rng, features.shape)
            try:
                after = nn.functional.leaky_relu(step(features))
            except (RuntimeError, ValueError):  # a window or a shape that does not fit
                continue
            if min(after.shape[-2:]) >= 5 and after.shape[1] == channels and max(after.shape[-2:]) < 40:
                features = after
                self.steps.append(step)
        return features.shape

    def run_steps(self, x: Tensor) -> Tensor:
        """The features before the end."""
        for step in self.steps:
            x = nn.functional.leaky_relu(step(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.run_steps(x))


def find_symmetries(network: RandomNetwork) -> dict[str, float]:
    """The relative error for every symmetry of the square, with the filters of every nn.Conv2d moved along."""
    network = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        image = torch.randn(16, 3, network.size, network.size, dtype=torch.float64)
        still = network(image)
        errors = {}
        for name, act in ACTIONS.items():
            moved = copy.deepcopy(network)
            for module in moved.modules():
                if isinstance(module, nn.Conv2d) and act(module.weight).shape == module.weight.shape:
                    module.weight.copy_(act(module.weight).clone())
            output = moved(act(image))
            expected = act(still) if still.ndim == 4 else still
            same = output.shape == expected.shape
            errors[name] = float((output - expected).norm() / still.norm()) if same else float("inf")
    return errors


def draw_convolution(rng: random.Random, shape: torch.Size) -> nn.Module:
    kernel = rng.choice([1, 2, 3, 3, 3, 4, 5])
    mode = rng.choice(["zeros", "zeros", "reflect", "replicate"])
    stride, dilation = rng.choice([1, 1, 2, 2, 3]), rng.choice([1, 1, 1, 2])
    padding = rng.randint(0, (kernel - 1) * dilation // 2)
    groups = rng.choice([1, 1, CHANNELS])
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, dilation, groups, padding_mode=mode)


def draw_rectangle(rng: random.Random, shape: torch.Size) -> nn.Module:
    kernel = rng.choice([(1, 3), (3, 1), (3, 5)])
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=(kernel[0] // 2, kernel[1] // 2))


def mixed(step: nn.Module) -> nn.Module:
    """A step, then a convolution of single pixels: a maximum of maxima could hide what the step breaks."""
    return nn.Sequential(step, nn.Conv2d(CHANNELS, CHANNELS, 1))


def read(step: nn.Module, rng: random.Random) -> nn.Module:
    """A step, then a convolution of neighbours: a mean over all positions could hide what the step moves."""
    return nn.Sequential(step, nn.Conv2d(CHANNELS, CHANNELS, 3, padding=rng.choice([0, 1])))


def draw_pooling(rng: random.Random, shape: torch.Size) -> nn.Module:
    kernel, stride = rng.choice([2, 3]), rng.choice([1, 2, 3])
    if rng.random() < 0.5:
        return mixed(nn.MaxPool2d(kernel, stride, rng.choice([0, kernel // 2]), ceil_mode=rng.random() < 0.3))
    count = rng.random() < 0.5
    return mixed(nn.AvgPool2d(kernel, stride, rng.choice([0, kernel // 2]), rng.random() < 0.3, count))


def draw_padding(rng: random.Random, shape: torch.Size) -> nn.Module:
    pads = rng.choice([(1, 1, 1, 1), (0, 1, 0, 1), (1, 0, 1, 0), (0, 2, 0, 2), (1, 0, 0, 1), (2, 2, 0, 0)])
    mode = rng.choice(["constant", "constant", "reflect"])
    return read(Step(f"pad {pads} {mode}", lambda x: F.pad(x, pads, mode)), rng)


def draw_crop(rng: random.Random, shape: torch.Size) -> nn.Module:
    top, left, bottom, right = (rng.choice([0, 0, 1]) for _ in range(4))
    way = rng.choice(["slice", "narrow", "split"])

    def crop(x: Tensor) -> Tensor:
        height, width = x.shape[-2] - bottom, x.shape[-1] - right
        if way == "slice":
            return x[:, :, top:height, left:width]
        if way == "narrow":
            return x.narrow(2, top, height - top).narrow(3, left, width - left)
        rows = x.split([top, height - top, x.shape[2] - height], 2)[1]
        return rows.split([left, width - left, x.shape[3] - width], 3)[1]

    return read(Step(f"crop {way} {top, left, bottom, right}", crop), rng)


def draw_stride(rng: random.Random, shape: torch.Size) -> nn.Module:
    start = rng.choice([0, 0, 1])
    return mixed(Step(f"[{start}::2]", lambda x: x[..., start::2, start::2]))


MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "flip columns": lambda x: x.flip(-1),
    "flip rows": lambda x: x.flip(2),
    "flip both": lambda x: x.flip((2, 3)),
    "transpose": lambda x: x.mT,
    "turn": lambda x: torch.rot90(x, 1, (2, 3)),
    "turn back": lambda x: torch.rot90(x, 3, (2, 3)),
    "half turn": lambda x: torch.rot90(x, 2, (-2, -1)),
    "permute": lambda x: x.permute(0, 1, 3, 2).contiguous(),
}


def draw_move(rng: random.Random, shape: torch.Size) -> nn.Module:
    name = rng.choice(list(MOVES))
    return Step(name, MOVES[name])


def draw_roll(rng: random.Random, shape: torch.Size) -> nn.Module:
    shifts = rng.choice([(1, 1), (-1, -1), (2, 0), (0, 3), (shape[2] // 2, shape[3] // 2)])
    return read(Step(f"roll {shifts}", lambda x: x.roll(shifts, (2, 3))), rng)


def draw_stream(rng: random.Random, shape: torch.Size) -> nn.Module:
    name = rng.choice(list(MOVES))
    conv = nn.Conv2d(CHANNELS, CHANNELS, rng.choice([1, 3]), padding="same")
    if rng.random() < 0.5:
        return Step(f"x + conv({name} x)", lambda x, conv: x + conv(MOVES[name](x)), conv)
    both = nn.Conv2d(2 * CHANNELS, CHANNELS, rng.choice([1, 3]), padding="same")
    return Step(f"cat x, {name} x", lambda x, conv: conv(torch.cat([x, MOVES[name](x)], 1)), both)


def draw_residual(rng: random.Random, shape: torch.Size) -> nn.Module:
    first, second = draw_convolution(rng, shape), draw_convolution(rng, shape)

    def add(x: Tensor, first: nn.Module, second: nn.Module) -> Tensor:
        return first(x) + F.interpolate(second(x), size=first(x).shape[-2:], mode="bilinear")

    return Step("residual", add, first, second)


def draw_norm(rng: random.Random, shape: torch.Size) -> nn.Module:
    kind = rng.randint(0, 4)
    if kind == 4:
        return Step("channels last", lambda x, norm: norm(x.movedim(1, -1)).movedim(-1, 1), nn.LayerNorm(CHANNELS))
    norms = (nn.BatchNorm2d(CHANNELS), nn.GroupNorm(2, CHANNELS), nn.InstanceNorm2d(CHANNELS), nn.LocalResponseNorm(3))
    return norms[kind]


def draw_excitation(rng: random.Random, shape: torch.Size) -> nn.Module:
    return Step(
        "squeeze and excite",
        lambda x, gate: x * gate(x.mean((2, 3))).sigmoid()[:, :, None, None],
        nn.Linear(CHANNELS, CHANNELS),
    )


def draw_attention(rng: random.Random, shape: torch.Size) -> nn.Module:
    def attend(x: Tensor, project: nn.Module) -> Tensor:
        query, key, value = project(x.flatten(2).mT).chunk(3, -1)
        return x + F.scaled_dot_product_attention(query, key, value).mT.unflatten(2, x.shape[2:])

    def multiply(x: Tensor, project: nn.Module) -> Tensor:
        query, key, value = project(x.flatten(2).transpose(1, 2)).reshape(len(x), -1, 3, CHANNELS).unbind(2)
        return x + ((query @ key.mT).softmax(-1) @ value).mT.reshape(x.shape)

    return Step("attention", rng.choice([attend, multiply]), nn.Linear(CHANNELS, 3 * CHANNELS))


def draw_reshape(rng: random.Random, shape: torch.Size) -> nn.Module:
    side = rng.choice([2, 3])

    def pool(x: Tensor) -> Tensor:
        return x.unflatten(3, (-1, side)).unflatten(2, (-1, side)).amax((3, 5))

    def mix(x: Tensor, mix: nn.Module) -> Tensor:
        return x + mix(x.flatten(2).mT).mT.view(x.shape)

    return rng.choice([Step(f"windows {side}", pool), Step("tokens", mix, nn.Linear(CHANNELS, CHANNELS))])


def draw_position(rng: random.Random, shape: torch.Size) -> nn.Module:
    """Numbers of every position, or of every row or column, added, multiplied or joined as channels."""
    height, width = shape[-2:]
    # multiples of 1 / 32, so that products and squares are exact
    rows, columns = ((torch.arange(side) - (side - 1) / 2) / 16 for side in (height, width))
    rows = rows[:, None]
    maps = {
        "noise": torch.randn(height, width),
        "rows": rows.expand(height, width),
        "columns": columns,
        "row radius": rows.square().expand(height, width),
        "radius": rows.square() + columns.square(),
        "saddle": rows * columns,
        "diagonal": rows + columns,
    }
    name = rng.choice(list(maps))
    if name == "noise":
        return Step("learned map", lambda x, numbers: x + numbers, numbers=nn.Parameter(maps[name]))
    way = rng.choice(["add", "multiply", "join"])
    if way == "add":
        return Step(f"add {name}", lambda x, numbers: x + numbers, numbers=maps[name])
    if way == "multiply":
        return Step(f"multiply {name}", lambda x, numbers: x * (2 + numbers), numbers=maps[name])
    conv = nn.Conv2d(CHANNELS + 1, CHANNELS, rng.choice([1, 3]))

    def join(x: Tensor, conv: nn.Module, numbers: Tensor) -> Tensor:
        return conv(torch.cat([x, numbers.expand(len(x), 1, -1, -1)], 1))

    return Step(f"join {name}", join, conv, numbers=maps[name].expand(height, width).clone())


def draw_resize(rng: random.Random, shape: torch.Size) -> nn.Module:
    mode, factor = rng.choice(["nearest", "bilinear", "bicubic"]), rng.choice([0.5, 1.5, 2])
    if rng.random() < 0.5:
        return Step(f"{mode} {factor}", lambda x: F.interpolate(x, scale_factor=factor, mode=mode))
    size = rng.randint(6, 20)
    return Step(f"{mode} {size}", lambda x: F.interpolate(x, size=(size, size), mode=mode))


def draw_fixed_filter(rng: random.Random, shape: torch.Size) -> nn.Module:
    kernels = {
        "blur": torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]) / 16,
        "sobel": torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]),
        "corner": torch.tensor([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
    }
    name = rng.choice(list(kernels))
    stride = rng.choice([1, 2])

    def filtered(x: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x, kernel.expand(x.shape[1], 1, 3, 3), stride=stride, padding=1, groups=x.shape[1])

    return mixed(Step(f"{name} stride {stride}", filtered, kernel=kernels[name]))


STEPS: dict[str, Callable[[random.Random, torch.Size], nn.Module]] = {
    name.removeprefix("draw_"): function
    for name, function in list(globals().items())
    if name.startswith("draw_") and callable(function)
}


def draw_end(rng: random.Random, shape: torch.Size) -> nn.Module:
    """The map itself, its mean or soft maximum with a linear layer, or a linear layer on all of it."""
    kind = rng.randint(0, 3)
    if kind == 0:
        return nn.Identity()
    if kind == 1:
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[1:].numel(), 3))
    if kind == 2:
        return Step("soft maximum", lambda x, linear: linear(x.logsumexp((2, 3))), nn.Linear(CHANNELS, 3))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 3))
