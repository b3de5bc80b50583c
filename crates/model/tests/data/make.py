"""Makes the tiny networks beside this file, each with one input and onnxruntime's outputs: NAME.onnx and NAME.npz.

    python3 make.py

Needs numpy, onnx and onnxruntime. Weights are seeded; the same files come out on every machine with the same versions.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.RandomState(7)


def weights(*shape, scale=None):
    fan = np.prod(shape[1:]) if len(shape) > 1 else 1
    return (rng.randn(*shape) * (scale or (1.0 / np.sqrt(fan)))).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def save(name, nodes, inputs, outputs, constants, opset=17, ir=8, seed_range=(-1.0, 1.0), types=None, repeat=False):
    """inputs: {name: shape}, a string in a shape leaves that axis open; `repeat` lists initializers as inputs too."""
    types = types or {}
    listed = dict(inputs, **({k: v.shape for k, v in constants.items()} if repeat else {}))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), s) for n, s in listed.items()],
        [helper.make_tensor_value_info(n, types.get(n, TensorProto.FLOAT), None) for n in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path = os.path.join(HERE, name + ".onnx")
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {}
    for n, s in inputs.items():
        shape = [d if isinstance(d, int) else 1 for d in s]
        if types.get(n) == TensorProto.UINT8:
            feed[n] = rng.randint(0, 256, shape).astype(np.uint8)
        else:
            feed[n] = rng.uniform(*seed_range, shape).astype(np.float32)
    results = session.run(outputs, feed)
    arrays = {"in_" + n: v for n, v in feed.items()}
    arrays.update({"out_" + n: v for n, v in zip(outputs, results)})
    np.savez_compressed(os.path.join(HERE, name + ".npz"), **arrays)


node = helper.make_node


def norm(prefix, channels):
    return {
        prefix + "_s": (1 + 0.3 * rng.randn(channels)).astype(np.float32),
        prefix + "_b": weights(channels, scale=0.3),
        prefix + "_m": weights(channels, scale=0.3),
        prefix + "_v": (0.5 + rng.rand(channels)).astype(np.float32),
    }


def bn(prefix, x, y):
    return node("BatchNormalization", [x] + [prefix + "_" + k for k in "sbmv"], [y], name=prefix)


# Batch normalisation everywhere: on the input, after and before a padded and an unpadded convolution, after a ReLU, behind
# a flatten's matrix.
c = {"w1": weights(4, 2, 3, 3), "w2": weights(5, 4, 3, 3), "w3": weights(6, 5, 1, 1), "w4": weights(24, 10)}
for p, n in [("n0", 2), ("n1", 4), ("n2", 4), ("n3", 5), ("n5", 10)]:
    c.update(norm(p, n))
save(
    "norms",
    [
        bn("n0", "x", "a0"),
        node("Conv", ["a0", "w1"], ["a1"], pads=[1, 1, 1, 1]),
        bn("n1", "a1", "a2"),
        node("Relu", ["a2"], ["a3"]),
        bn("n2", "a3", "a4"),
        node("Conv", ["a4", "w2"], ["a5"]),
        node("Relu", ["a5"], ["a6"]),
        bn("n3", "a6", "a7"),
        node("Conv", ["a7", "w3"], ["a8"], pads=[0, 0, 0, 0]),
        node("MaxPool", ["a8"], ["a9"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["a9"], ["b0"]),
        node("MatMul", ["b0", "w4"], ["b1"]),
        bn("n5", "b1", "y"),
    ],
    {"x": ["N", 2, 6, 6]},
    ["y"],
    c,
)

# As Keras and tf2onnx export: channels last, a transpose before and after, bytes in, a mean subtracted, several outputs.
save(
    "keras",
    [
        node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        node("Sub", ["f", "mean"], ["g"]),
        node("Mul", ["g", "scale"], ["h"]),
        node("Transpose", ["h"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "w"], ["u"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Clip", ["u", "zero", "six"], ["v"]),
        node("Conv", ["v", "d"], ["p"], group=6, pads=[1, 1, 1, 1], dilations=[1, 1]),
        node("HardSwish", ["p"], ["q"]),
        node("Transpose", ["q"], ["r"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["r"], ["features"], axes=[1, 2], keepdims=0),
        node("Gemm", ["features", "m", "b"], ["logits"], alpha=0.5, beta=2.0),
        node("Softmax", ["logits"], ["y"]),
    ],
    {"image": ["unk__1", 9, 9, 3]},
    ["y", "features"],
    {
        "mean": np.array([104, 117, 123], np.float32),
        "scale": np.array([1 / 64], np.float32),
        "w": weights(6, 3, 3, 3),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        "d": weights(6, 1, 3, 3),
        "m": weights(6, 4),
        "b": weights(4),
    },
    types={"image": TensorProto.UINT8},
)

# As PyTorch exports: a dynamic batch, the flattened size computed from shapes, padding assembled by slices of a constant.
save(
    "torch_shapes",
    [
        node("ConstantOfShape", ["four"], ["zeros"], value=numpy_helper.from_array(ints(0))),
        node("Concat", ["hw", "zeros"], ["list"], axis=0),
        node("Reshape", ["list", "pairs"], ["rows"]),
        node("Slice", ["rows", "minus1", "lowest", "first", "minus1"], ["back"]),
        node("Transpose", ["back"], ["columns"], perm=[1, 0]),
        node("Reshape", ["columns", "open"], ["pads"]),
        node("Pad", ["x", "pads", "fill"], ["a"], mode="constant"),
        node("Conv", ["a", "w", "b"], ["c"], strides=[2, 1]),
        node("LeakyRelu", ["c"], ["d"], alpha=0.125),
        node("Shape", ["d"], ["s"]),
        node("Gather", ["s", "index0"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axis0"], ["n1"]),
        node("Concat", ["n1", "open"], ["target"], axis=0),
        node("Equal", ["target", "open"], ["eq"]),
        node("Where", ["eq", "target", "target"], ["target2"]),
        node("Reshape", ["d", "target2"], ["e"]),
        node("Gemm", ["e", "m", "v"], ["f"], transB=1),
        node("PRelu", ["f", "slope"], ["g"]),
        node("LogSoftmax", ["g"], ["y"], axis=1),
        node("ArgMax", ["y"], ["class"], axis=1, keepdims=0),
    ],
    {"x": ["batch", 1, 5, 5]},
    ["y", "class"],
    {
        "hw": ints(1, 2, 2, 1),
        "four": ints(4),
        "pairs": ints(-1, 2),
        "minus1": ints(-1),
        "lowest": ints(-9223372036854775807),
        "first": ints(0),
        "open": ints(-1),
        "fill": np.array(0.5, np.float32),
        "index0": np.array(0, np.int64),
        "axis0": ints(0),
        "w": weights(3, 1, 3, 3),
        "b": weights(3),
        "m": weights(5, 54),
        "v": weights(5),
        "slope": np.abs(weights(5, scale=0.4)),
    },
    opset=13,
    types={"class": TensorProto.INT64},
)

# Branches: split, gate, residual sums with broadcast, concatenation, a product of two private tensors, arithmetic with
# constants on either side.
save(
    "branches",
    [
        node("Split", ["x", "parts"], ["p", "q"], axis=1),
        node("Sigmoid", ["p"], ["gate"]),
        node("Tanh", ["q"], ["value"]),
        node("Mul", ["gate", "value"], ["gated"]),
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Add", ["c", "gated"], ["r"]),
        node("GlobalAveragePool", ["r"], ["mean"]),
        node("HardSigmoid", ["mean"], ["s"], alpha=0.25, beta=0.5),
        node("Mul", ["r", "s"], ["t"]),
        node("Sub", ["one", "t"], ["u"]),
        node("Div", ["u", "three"], ["v"]),
        node("Pow", ["v", "two"], ["k"]),
        node("Concat", ["v", "k", "gated"], ["all"], axis=1),
        node("Slice", ["all", "from", "to", "axes", "steps"], ["cut"]),
        node("AveragePool", ["cut"], ["pool"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        node("Squeeze", ["pool"], ["y"]),
    ],
    {"x": [1, 4, 6, 6]},
    ["y"],
    {
        "parts": ints(2, 2),
        "w": weights(2, 4, 3, 3),
        "one": np.array(1, np.float32),
        "three": np.array([3, -2], np.float32).reshape(1, 2, 1, 1),
        "two": np.array(2, np.float32),
        "from": ints(5, 0),
        "to": ints(-100, 5),
        "axes": ints(1, 3),
        "steps": ints(-1, 1),
    },
    opset=18,
)

# One-dimensional convolutions and pools, and reflected and repeated margins.
save(
    "signals",
    [
        node("Pad", ["x", "margin"], ["a"], mode="reflect"),
        node("Conv", ["a", "w"], ["b"], dilations=[2], strides=[1], kernel_shape=[3]),
        node("Relu", ["b"], ["c"]),
        node("MaxPool", ["c"], ["d"], kernel_shape=[3], strides=[2], pads=[1, 0]),
        node("Pad", ["d", "edge"], ["e"], mode="edge"),
        node("Conv", ["e", "v", "u"], ["f"], group=2),
        node("AveragePool", ["f"], ["g"], kernel_shape=[2], count_include_pad=1, pads=[1, 1]),
        node("Transpose", ["g"], ["h"], perm=[0, 2, 1]),
        node("MatMul", ["h", "m"], ["i"]),
        node("ReduceMean", ["i", "axes"], ["y"], keepdims=0),
    ],
    {"x": [1, 3, 20]},
    ["y"],
    {
        "margin": ints(0, 0, 2, 0, 0, 1),
        "edge": ints(0, 0, 0, 0, 0, 2),
        "w": weights(4, 3, 3),
        "v": weights(6, 2, 2),
        "u": weights(6),
        "m": weights(6, 5),
        "axes": ints(1),
    },
    opset=18,
)

# Two inputs, a static batch of two, products of two private matrices, a matrix on the left.
save(
    "matrices",
    [
        node("MatMul", ["a", "b"], ["ab"]),
        node("MatMul", ["left", "ab"], ["c"]),
        node("MatMul", ["c", "stack"], ["d"]),
        node("Add", ["d", "row"], ["e"]),
        node("Identity", ["e"], ["f"]),
        node("Dropout", ["f"], ["y"]),
    ],
    {"a": [2, 3, 4], "b": [2, 4, 5]},
    ["y"],
    {
        "left": weights(2, 3),
        "stack": weights(2, 5, 3),
        "row": weights(3),
    },
    opset=13,
)

# An old file: opset 9, attributes where inputs stand today, initializers repeated as inputs, softmax without an axis.
old = {"w": weights(3, 1, 3, 3), "m": weights(12, 4), "v": weights(4)}
save(
    "opset9",
    [
        node("Pad", ["x"], ["a"], mode="constant", pads=[0, 0, 1, 0, 0, 0, 0, -1]),
        node("Conv", ["a", "w"], ["b"], strides=[2, 2]),
        node("Clip", ["b"], ["c"], min=-0.5, max=1.0),
        node("Slice", ["c"], ["d"], axes=[2, 3], starts=[0, 0], ends=[2, 2]),
        node("Unsqueeze", ["d"], ["e"], axes=[0]),
        node("Squeeze", ["e"], ["f"], axes=[0]),
        node("Flatten", ["f"], ["g"]),
        node("Gemm", ["g", "m", "v"], ["h"]),
        node("Softmax", ["h"], ["y"]),
    ],
    {"x": [1, 1, 7, 7]},
    ["y"],
    old,
    opset=9,
    ir=3,
    repeat=True,
)
