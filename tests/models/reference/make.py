#!/usr/bin/env python3
"""Makes what the tests compare with: checkpoint.pt and tensor.pt, which torch.save wrote, and
NAME.json of every network of the zoo that PyTorch has, too: what torchvision's (of text: the ones
below) gives in double precision for weights and inputs that zoo_reference_test.cpp makes the same way. Needs torch and
torchvision (2.15 and 0.29 made the files that are here): python3 make.py"""

import json
import math
import pathlib

import numpy
import torch
import torchvision.models as models
from torch import nn

HERE = pathlib.Path(__file__).parent
# Of each auxiliary head's loss.
AUXILIARY_WEIGHT = {"googlenet": 0.3, "inception_v3": 0.4}
# Of the inputs, where 96 px are too few for a head.
SIDE = {"inception_v3": 299}


def numbers(name, count):
    """SplitMix64 from FNV-1a of the name, as doubles in [-1, 1)."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(state) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-52 - 1


def weights(name, shape):
    values = numbers(name, math.prod(shape))
    if len(shape) > 1:
        values *= math.sqrt(6 / math.prod(shape[1:]))
    else:
        values = values * 0.1 + (1 if name.endswith(".weight") else 0)
    return torch.from_numpy(values).reshape(shape)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class SmallResNet(nn.Module):
    def __init__(self, blocks, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for layer, outputs in enumerate((16, 32, 64)):
            parts = []
            for block in range(blocks):
                parts.append(Block(inputs, outputs, 2 if layer > 0 and block == 0 else 1))
                inputs = outputs
            setattr(self, f"layer{layer + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        parts = [
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, 2)
        ]
        y = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
        return self.c_proj(y.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp.c_proj(nn.functional.gelu(self.mlp.c_fc(self.ln_2(x))))


class CharGPT(nn.Module):
    """As nanoGPT's model.py builds it, without dropout, the head's weights its own."""

    def __init__(self, vocabulary, width=192, heads=6, blocks=6, positions=128):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(positions, width),
                "h": nn.ModuleList(TransformerBlock(width, heads) for _ in range(blocks)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        parts = self.transformer
        x = parts.wte(ids) + parts.wpe(torch.arange(ids.shape[1]))
        for block in parts.h:
            x = block(x)
        return self.lm_head(parts.ln_f(x))


class CharLSTM(nn.Module):
    def __init__(self, vocabulary, width=256):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 128)
        self.lstm = nn.ModuleList(
            nn.LSTM(before, width, batch_first=True) for before in (128, width)
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.lstm:
            x, _ = layer(x)
        return self.head(x)


TEXT = {"char-gpt": CharGPT, "char-lstm": CharLSTM}


def ids(name, rows, columns, below):
    values = (numbers(name, rows * columns) + 1) / 2 * below
    return torch.from_numpy(values.astype(numpy.int64)).reshape(rows, columns)


def network(name):
    small = {"resnet20": 3, "resnet56": 9}
    if name in small:
        return SmallResNet(small[name], 10), 32
    options = {"num_classes": 10}
    if name in AUXILIARY_WEIGHT:
        options |= {"aux_logits": True, "init_weights": False, "transform_input": False}
    return getattr(models, name)(weights=None, **options), SIDE.get(name, 96)


def in_double(net):
    net = net.double().train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    with torch.no_grad():
        for parameter, value in net.named_parameters():
            value.copy_(weights(parameter, value.shape))
    return net


def short(values):
    return [float(f"{x:.10g}") for x in values.tolist()]


def gradients_of(net):
    """Norm, product with numbers("along NAME")."""
    gradients = {}
    for parameter, value in net.named_parameters():
        flat = value.grad.flatten()
        along = torch.from_numpy(numbers("along " + parameter, flat.numel()))
        gradients[parameter] = [float(f"{flat.norm():.10g}"), float(f"{flat @ along:.10g}")]
    return gradients


def text_reference(name):
    net = in_double(TEXT[name](10))
    outputs = net(ids("input", 2, 128, 10))
    labels = ids("label", 2, 128, 10)
    loss = nn.functional.cross_entropy(outputs.flatten(0, 1), labels.flatten())
    loss.backward()
    return {
        "outputs": [short(sample[-1]) for sample in outputs],
        "loss": loss.item(),
        "gradients": gradients_of(net),
        "running": {},
    }


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def reference(name):
    net, side = network(name)
    net = in_double(net)
    inputs = torch.from_numpy(numbers("input", 2 * 3 * side * side)).reshape(2, 3, side, side) * 1.7
    outputs, *auxiliary = as_tuple(net(inputs))
    losses = [nn.functional.cross_entropy(y, torch.tensor([1, 3])) for y in (outputs, *auxiliary)]
    loss = losses[0] + AUXILIARY_WEIGHT.get(name, 0) * sum(losses[1:])
    loss.backward()
    running = {
        buffer: float(f"{value.norm():.10g}")
        for buffer, value in net.named_buffers()
        if value.is_floating_point()
    }
    return {
        "side": side,
        "outputs": [short(row) for row in outputs],
        "loss": loss.item(),
        "gradients": gradients_of(net),
        "running": running,  # norms after the one step
    }


def state_dict():
    """Tensors of every sort that a state dict may have, as a checkpoint has them."""
    shared = weights("shared", (6, 4)).float()
    tensors = {
        "plain": weights("plain", (3, 4)).float(),
        "double": weights("double", (2, 3)),
        "half": weights("half", (5,)).half(),
        "bfloat": weights("bfloat", (5,)).bfloat16(),
        "transposed": weights("transposed", (4, 3)).float().t(),
        "rows": shared[2:4],
        "parameter": nn.Parameter(weights("parameter", (7,)).float()),
        "number": torch.tensor(2.5),
        "norm.num_batches_tracked": torch.tensor(7),
    }
    return {"epoch": 3, "rate": 0.1, "name": "small", "state_dict": tensors}


def write(name, values):
    text = json.dumps(values, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")
    print(name, len(text))


def main():
    torch.save(state_dict(), HERE / "checkpoint.pt")
    torch.save(state_dict()["state_dict"]["plain"], HERE / "tensor.pt")
    for name in (
        "alexnet", "vgg11", "vgg16", "resnet18", "resnet50", "resnet20", "resnet56",
        "squeezenet1_1", "mobilenet_v2", "googlenet", "inception_v3", "densenet121",
    ):  # fmt: skip
        write(name, reference(name))
    for name in TEXT:
        write(name, text_reference(name))


if __name__ == "__main__":
    main()
