"""Small twins of networks that are too large for every test run: the same layers on 3x8x8 inputs with few maps;
a linear head for features of 64 values; and a network with four of five weights zero.

Needs numpy and onnx. Weights come from a fixed seed, scaled so that activations keep their size.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    def __init__(self, seed):
        self.random = np.random.RandomState(seed)
        self.nodes, self.weights, self.count = [], [], 0

    def weight(self, array):
        self.count += 1
        name = f"w{self.count}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def op(self, kind, *inputs, out=None, **attributes):
        self.count += 1
        out = out or f"{kind.lower()}{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def conv(self, x, maps_in, maps, kernel, stride=1, bias=True):
        scale = (2 / (maps_in * kernel * kernel)) ** 0.5
        inputs = [x, self.weight(self.random.randn(maps, maps_in, kernel, kernel) * scale)]
        if bias:
            inputs.append(self.weight(self.random.randn(maps) * 0.1))
        pad = [kernel // 2] * 4
        return self.op("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pad)

    def norm(self, x, maps):
        numbers = [1 + 0.1 * self.random.randn(maps), 0.1 * self.random.randn(maps), 0.1 * self.random.randn(maps),
                   0.5 + self.random.rand(maps)]
        return self.op("BatchNormalization", x, *[self.weight(n) for n in numbers])

    def dense(self, x, inputs, outputs, out):
        weight = self.weight(self.random.randn(outputs, inputs) / inputs ** 0.5)
        return self.op("Gemm", x, weight, self.weight(0.1 * self.random.randn(outputs)), transB=1, out=out)

    def save(self, path, outputs, shape=(1, 3, 8, 8)):
        graph = helper.make_graph(
            self.nodes, path.stem,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, outputs])], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def resnet(path):
    net = Net(1)
    x = net.op("Relu", net.norm(net.conv("input", 3, 4, 3, bias=False), 4))
    for maps_in, maps, stride in [(4, 4, 1), (4, 6, 2)]:
        y = net.op("Relu", net.norm(net.conv(x, maps_in, maps, 3, stride, bias=False), maps))
        y = net.norm(net.conv(y, maps, maps, 3, bias=False), maps)
        shortcut = x if stride == 1 else net.norm(net.conv(x, maps_in, maps, 1, stride, bias=False), maps)
        x = net.op("Relu", net.op("Add", y, shortcut))
    net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 6, 10, "output")
    net.save(path, 10)


def minionn_cifar10(path):
    net = Net(2)
    x = net.op("Relu", net.conv("input", 3, 4, 3))
    x = net.op("Relu", net.conv(x, 4, 4, 3))
    x = net.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Relu", net.conv(x, 4, 4, 3))
    x = net.op("Relu", net.conv(x, 4, 2, 1))
    net.dense(net.op("Flatten", x), 32, 10, "output")
    net.save(path, 10)


def tanh_sigmoid(path):
    net = Net(3)
    x = net.op("Tanh", net.conv("input", 3, 2, 3, 2))
    x = net.op("Sigmoid", net.dense(net.op("Flatten", x), 32, 12, "hidden"))
    net.op("Softmax", net.dense(x, 12, 10, "scores"), axis=1, out="output")
    net.save(path, 10)


def squares(path):
    net = Net(4)
    x = net.conv("input", 3, 4, 3, 2)
    x = net.conv(net.op("Mul", x, x), 4, 5, 3, 2)
    net.dense(net.op("Flatten", net.op("Mul", x, x)), 20, 10, "output")
    net.save(path, 10)


def head(path):
    """A linear layer on features that another network made, and one input for it."""
    net = Net(5)
    net.dense("input", 64, 10, "output")
    net.save(path, 10, (1, 64))
    np.save(path.with_suffix(".npy"), np.maximum(net.random.randn(1, 64), 0).astype(np.float32))


def pruned(path):
    """Each layer keeps the fifth of its weights that is largest, made larger; one input for it."""
    net = Net(6)
    write = net.weight

    def weight(array):
        if array.ndim > 1:
            array = np.where(np.abs(array) < np.quantile(np.abs(array), 0.8), 0, 1.1 * array)
        return write(array)

    net.weight = weight
    x = net.op("Relu", net.conv("input", 3, 4, 3, 2))
    x = net.op("Relu", net.dense(net.op("Flatten", x), 64, 50, "hidden"))
    net.dense(x, 50, 10, "output")
    net.save(path, 10)
    np.save(path.with_suffix(".npy"), net.random.randn(1, 3, 8, 8).astype(np.float32).clip(-3, 3))


def mixed(path):
    """ReLUs in some layers, quadratics in others: a Pow with affine parts around it, a square by Mul; and a shortcut."""
    net = Net(7)
    number = lambda value: net.weight(np.array(value))
    x = net.op("Relu", net.conv("input", 3, 4, 3))
    y = net.conv(x, 4, 4, 3)
    square = net.op("Mul", net.op("Pow", y, number(2)), number(0.25))
    y = net.op("Add", net.op("Add", square, net.op("Mul", y, number(0.5))), number(0.125))
    x = net.op("Relu", net.op("Add", net.conv(y, 4, 4, 3), x))
    y = net.conv(x, 4, 4, 1)
    y = net.op("AveragePool", net.op("Mul", y, y), kernel_shape=[2, 2], strides=[2, 2])
    net.dense(net.op("Flatten", y), 64, 10, "output")
    net.save(path, 10)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    resnet(folder / "resnet.onnx")
    minionn_cifar10(folder / "minionn_cifar10.onnx")
    tanh_sigmoid(folder / "tanh_sigmoid.onnx")
    squares(folder / "squares.onnx")
    head(folder / "head.onnx")
    pruned(folder / "pruned.onnx")
    mixed(folder / "mixed.onnx")
