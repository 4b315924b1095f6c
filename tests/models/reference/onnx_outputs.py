#!/usr/bin/env python3
"""Compares exported networks with PyTorch's outputs for the same weights, by onnxruntime:
python3 onnx_outputs.py NAME.safetensors NAME.onnx …, both exported from one training of NAME.
Prints the largest difference over the largest output. Needs torch, torchvision, safetensors,
onnxruntime."""

import pathlib
import sys

import numpy
import onnxruntime
import torch
from safetensors.torch import load_file

import make


def difference(weights, network):
    state, name = load_file(weights), pathlib.Path(weights).stem
    if name in make.TEXT:
        net = make.TEXT[name](len(state["transformer.wte.weight" if "gpt" in name else "embedding.weight"]))
    else:
        net, _ = make.network(name)
    net.load_state_dict(state, strict=True)
    session = onnxruntime.InferenceSession(network)
    described = session.get_inputs()[0]
    random = numpy.random.default_rng(1)
    shape = (3, *described.shape[1:])
    if "int64" in described.type:
        inputs = random.integers(0, 10, shape)
    else:
        inputs = random.standard_normal(shape, dtype=numpy.float32)
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(inputs)).numpy()
    found = session.run(None, {"input": inputs})[0]
    return numpy.abs(found - expected).max() / numpy.abs(expected).max()


def main():
    for weights, network in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        print(f"{network}: {difference(weights, network):.1e}")


if __name__ == "__main__":
    main()
