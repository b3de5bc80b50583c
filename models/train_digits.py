#!/usr/bin/env python3
"""Trains `digits.onnx`, the demo's network, on MNIST with numpy alone.

    python3 train_digits.py MNIST_DIR OUT_DIR

The network is a convolution (one stride-3 layer, so few outputs), a ReLU and a fully connected layer: under a garbled
circuit the products are the cost, and this shape has 17,920 of them. Seeds are fixed; the order in which a processor adds
floats can still change the last digits of the weights. Needs numpy and onnx; MNIST_DIR holds the four IDX files,
gzipped or not.
"""
import gzip
import os
import sys

import numpy as np

KERNEL, STRIDE, MAPS, CLASSES = 5, 3, 8, 10
SIDE = (28 - KERNEL) // STRIDE + 1
EPOCHS, BATCH, RATE, DECAY, SEED = 40, 64, 4e-3, 2e-5, 7


def idx(path):
    """The array of an IDX file of unsigned bytes."""
    opener, path = (open, path) if os.path.exists(path) else (gzip.open, path + ".gz")
    with opener(path, "rb") as file:
        data = file.read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def patches(images):
    """Windows of the convolution: [N, 28, 28] -> [N, SIDE * SIDE, KERNEL * KERNEL]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    return windows.reshape(len(images), SIDE * SIDE, KERNEL * KERNEL)


def forward(weights, images):
    """Windows, activations as [N, MAPS * SIDE * SIDE], and scores."""
    columns = patches(images)
    hidden = np.maximum(columns @ weights["conv_w"].T + weights["conv_b"], 0)
    flat = hidden.transpose(0, 2, 1).reshape(len(images), -1)
    return columns, flat, flat @ weights["fc_w"].T + weights["fc_b"]


def gradients(weights, images, labels):
    """Gradients of the cross entropy with a label smoothing of 0.02, and of the weight decay."""
    columns, flat, scores = forward(weights, images)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    target = np.full_like(p, 0.02 / CLASSES)
    target[np.arange(len(labels)), labels] += 0.98
    d_scores = (p - target) / len(labels)
    d_flat = (d_scores @ weights["fc_w"]) * (flat > 0)
    d_hidden = d_flat.reshape(len(images), MAPS, SIDE * SIDE).transpose(0, 2, 1)
    grads = {
        "fc_w": d_scores.T @ flat,
        "fc_b": d_scores.sum(0),
        "conv_w": np.tensordot(d_hidden, columns, axes=([0, 1], [0, 1])),
        "conv_b": d_hidden.sum((0, 1)),
    }
    return {name: grad + 2 * DECAY * weights[name] for name, grad in grads.items()}


def rate_at(step, steps):
    """One cycle: a linear rise over the first tenth, then half a cosine down to zero."""
    rise = steps // 10
    if step < rise:
        return RATE * (step + 1) / rise
    return RATE * 0.5 * (1 + np.cos(np.pi * (step - rise) / (steps - rise)))


def train(images, labels, test_images, test_labels):
    """Adam on images shifted at random by up to two pixels."""
    rng = np.random.default_rng(SEED)
    def he(*shape):
        return (rng.standard_normal(shape) * np.sqrt(2 / shape[1])).astype(np.float32)
    weights = {
        "conv_w": he(MAPS, KERNEL * KERNEL),
        "conv_b": np.zeros(MAPS, np.float32),
        "fc_w": he(CLASSES, MAPS * SIDE * SIDE),
        "fc_b": np.zeros(CLASSES, np.float32),
    }
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    per_epoch, step, axis = len(images) // BATCH, 0, np.arange(28)
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        for i in range(per_epoch):
            pick = order[i * BATCH : (i + 1) * BATCH]
            dy, dx = rng.integers(0, 5, BATCH), rng.integers(0, 5, BATCH)
            batch = padded[pick[:, None, None], dy[:, None, None] + axis[:, None], dx[:, None, None] + axis]
            grads = gradients(weights, batch.astype(np.float32) / 255, labels[pick])
            step += 1
            rate = rate_at(step - 1, per_epoch * EPOCHS)
            for name, grad in grads.items():
                first[name] = 0.9 * first[name] + 0.1 * grad
                second[name] = 0.999 * second[name] + 0.001 * grad * grad
                m, v = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
                weights[name] -= (rate * m / (np.sqrt(v) + 1e-8)).astype(np.float32)
        right = (forward(weights, test_images)[2].argmax(1) == test_labels).sum()
        print(f"epoch {epoch + 1}/{EPOCHS}: {right} of {len(test_labels)} test images", flush=True)
    return weights


def export(weights, path):
    """Standard ONNX, opset 17."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tensors = {
        "conv.weight": weights["conv_w"].reshape(MAPS, 1, KERNEL, KERNEL),
        "conv.bias": weights["conv_b"],
        "fc.weight": weights["fc_w"],
        "fc.bias": weights["fc_b"],
    }
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight", "conv.bias"], ["conv"], name="conv",
                         kernel_shape=[KERNEL, KERNEL], strides=[STRIDE, STRIDE]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("Flatten", ["relu"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["output"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="oribi")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    data, out = sys.argv[1:3]
    images, labels = idx(f"{data}/train-images-idx3-ubyte"), idx(f"{data}/train-labels-idx1-ubyte")
    test = idx(f"{data}/t10k-images-idx3-ubyte").astype(np.float32) / 255
    export(train(images, labels, test, idx(f"{data}/t10k-labels-idx1-ubyte")), f"{out}/digits.onnx")


if __name__ == "__main__":
    main()
