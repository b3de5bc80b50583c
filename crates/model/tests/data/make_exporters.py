"""Makes the networks beside this file that are written as three exporters write them, each with one input and the outputs of
the onnx package's reference evaluator: NAME.onnx and NAME.npz.

    python3 make_exporters.py

Needs numpy, onnx and onnxruntime, and for `sklearn_mlp` scikit-learn and skl2onnx, whose own export it is; without them that one is left
as it stands. Weights are seeded.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.RandomState(11)
node = helper.make_node


def weights(*shape, fan=None):
    fan = fan or np.prod(shape[1:]) if len(shape) > 1 else 16
    return (rng.randn(*shape) / np.sqrt(fan)).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def constant(name, value):
    return node("Constant", [], [name], name="Constant_" + name, value=numpy_helper.from_array(np.asarray(value), name))


def expect(name, model, feed):
    """Stores the model, the feed and what the reference evaluator makes of it.

    Below opset 14 its batch normalisation takes the batch's own statistics into account; onnxruntime's does not.
    """
    if model.opset_import[0].version < 14:
        outputs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)
    else:
        outputs = ReferenceEvaluator(model).run(None, feed)
    arrays = {"in_" + n: v for n, v in feed.items()}
    arrays.update({"out_" + o.name: v for o, v in zip(model.graph.output, outputs)})
    onnx.save(model, os.path.join(HERE, name + ".onnx"))
    np.savez_compressed(os.path.join(HERE, name + ".npz"), **arrays)


def save(name, nodes, inputs, outputs, constants, opset, ir=8, low=0.0, domains=()):
    info = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
    graph = helper.make_graph(
        nodes,
        name,
        [info(n, s) for n, s in inputs.items()],
        [info(n, s) for n, s in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 2) for d in domains]
    model = helper.make_model(graph, opset_imports=imports, ir_version=ir)
    onnx.checker.check_model(model)
    shapes = {n: [d if isinstance(d, int) else 1 for d in s] for n, s in inputs.items()}
    expect(name, model, {n: rng.uniform(low, 1, s).astype(np.float32) for n, s in shapes.items()})


def norm(prefix, channels):
    return {
        prefix + "/gamma": (1 + 0.3 * rng.randn(channels)).astype(np.float32),
        prefix + "/beta": weights(channels),
        prefix + "/mean": weights(channels),
        prefix + "/variance": (0.5 + rng.rand(channels)).astype(np.float32),
    }


def bn(prefix, x, y):
    names = [prefix + "/" + k for k in ("gamma", "beta", "mean", "variance")]
    return node("BatchNormalization", [x] + names, [y], name=prefix, epsilon=1e-3)


# Keras through tf2onnx, opset 12: channels last behind transposes on either side of each convolution, convolutions with their bias
# in an Add of shape 1x1x1xC, batch normalisation after the activation, a separable convolution by Squeeze and Unsqueeze with axes
# as attributes, the flattened size from Shape, Cast, Slice and Concat, dense layers as MatMul and Add of a vector.
save(
    "keras_tf2onnx",
    [
        node("Transpose", ["input_1:0"], ["c1/T"], perm=[0, 3, 1, 2]),
        node("Conv", ["c1/T", "c1/kernel"], ["c1/conv"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Transpose", ["c1/conv"], ["c1/back"], perm=[0, 2, 3, 1]),
        node("Add", ["c1/back", "c1/bias"], ["c1/add"]),
        node("Relu", ["c1/add"], ["c1/relu"]),
        node("Transpose", ["c1/relu"], ["bn/T"], perm=[0, 3, 1, 2]),
        bn("bn", "bn/T", "bn/out"),
        node("MaxPool", ["bn/out"], ["pool"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
        # Conv1D over the rows: an axis in, an axis out.
        node("Transpose", ["pool"], ["pool/back"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["pool/back"], ["rows"], axes=[1], keepdims=0),
        node("Unsqueeze", ["rows"], ["rows/4"], axes=[1]),
        node("Transpose", ["rows/4"], ["rows/T"], perm=[0, 3, 1, 2]),
        node("Conv", ["rows/T", "c2/kernel"], ["c2/conv"], kernel_shape=[1, 2], strides=[1, 1]),
        node("Transpose", ["c2/conv"], ["c2/back"], perm=[0, 2, 3, 1]),
        node("Squeeze", ["c2/back"], ["c2/3"], axes=[-3]),
        node("Add", ["c2/3", "c2/bias"], ["c2/add"]),
        node("Relu", ["c2/add"], ["c2/relu"]),
        node("Shape", ["c2/relu"], ["flat/shape"]),
        node("Cast", ["flat/shape"], ["flat/int"], to=TensorProto.INT32),
        node("Cast", ["flat/int"], ["flat/long"], to=TensorProto.INT64),
        node("Slice", ["flat/long", "begin", "end", "axis0"], ["flat/batch"]),
        node("Concat", ["flat/batch", "open"], ["flat/target"], axis=0),
        node("Reshape", ["c2/relu", "flat/target"], ["flat"]),
        node("MatMul", ["flat", "d1/kernel"], ["d1/mm"]),
        node("Add", ["d1/mm", "d1/bias"], ["d1/add"]),
        node("Relu", ["d1/add"], ["d1/relu"]),
        node("MatMul", ["d1/relu", "d2/kernel"], ["d2/mm"]),
        node("Add", ["d2/bias", "d2/mm"], ["d2/add"]),
        node("Softmax", ["d2/add"], ["predictions"]),
    ],
    {"input_1:0": ["unk__17", 12, 12, 3]},
    {"predictions": ["unk__18", 4]},
    {
        "c1/kernel": weights(5, 3, 3, 3),
        "c1/bias": weights(5).reshape(1, 1, 1, 5),
        **norm("bn", 5),
        "c2/kernel": weights(6, 5, 1, 2),
        "c2/bias": weights(6),
        "begin": ints(0),
        "end": ints(1),
        "axis0": ints(0),
        "open": ints(-1),
        "d1/kernel": weights(12, 8, fan=12),
        "d1/bias": weights(8),
        "d2/kernel": weights(8, 4, fan=8),
        "d2/bias": weights(4),
    },
    12,
)

# A Keras head of a newer opset: Squeeze and Unsqueeze with axes as inputs, Reshape with 0 and -1, a squeeze-and-excite block as
# Keras writes it, swish, BatchNormalization straight after Sigmoid's product.
save(
    "keras_blocks",
    [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "k1", "b1"], ["a"], pads=[0, 0, 1, 1], strides=[2, 2]),
        node("Sigmoid", ["a"], ["a/s"]),
        node("Mul", ["a", "a/s"], ["a/swish"]),
        bn("bn", "a/swish", "n"),
        node("GlobalAveragePool", ["n"], ["gap"]),
        node("Squeeze", ["gap", "hw"], ["gap2"]),
        node("Reshape", ["gap2", "se/shape"], ["se/in"]),
        node("Conv", ["se/in", "k2", "b2"], ["se/1"]),
        node("Relu", ["se/1"], ["se/2"]),
        node("Conv", ["se/2", "k3", "b3"], ["se/3"]),
        node("Sigmoid", ["se/3"], ["se/4"]),
        node("Mul", ["n", "se/4"], ["scaled"]),
        node("ReduceMean", ["scaled", "hw"], ["mean"], keepdims=0),
        node("Unsqueeze", ["mean", "axis1"], ["mean3"]),
        node("Reshape", ["mean3", "keep"], ["features"]),
        node("MatMul", ["features", "k4"], ["mm"]),
        node("Add", ["mm", "b4"], ["y"]),
    ],
    {"x": ["batch", 9, 9, 2]},
    {"y": ["batch", 3]},
    {
        "k1": weights(6, 2, 3, 3),
        "b1": weights(6),
        **norm("bn", 6),
        "hw": ints(2, 3),
        "se/shape": ints(0, 6, 1, -1),
        "k2": weights(2, 6, 1, 1),
        "b2": weights(2),
        "k3": weights(6, 2, 1, 1),
        "b3": weights(6),
        "axis1": ints(1),
        "keep": ints(0, -1),
        "k4": weights(6, 3, fan=6),
        "b4": weights(3),
    },
    18,
    low=-1.0,
)

# PyTorch, as torch.onnx writes a small MobileNetV3: names with slashes and dots, Constant nodes where others have initializers, Clip
# with inputs, HardSwish and HardSigmoid decomposed, AdaptiveAvgPool2d(1) as GlobalAveragePool with Flatten behind it, view(x.size(0),
# -1) by Shape, Gather, Unsqueeze and Concat, Gemm with transB, a residual, a dynamic batch.
save(
    "torch_mobile",
    [
        node("Conv", ["input.1", "features.0.weight", "features.0.bias"], ["/0"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        constant("three", np.array(3, np.float32)),
        node("Add", ["/0", "three"], ["/1"]),
        constant("zero", np.array(0, np.float32)),
        constant("six", np.array(6, np.float32)),
        node("Clip", ["/1", "zero", "six"], ["/2"]),
        node("Mul", ["/0", "/2"], ["/3"]),
        constant("six_again", np.array(6, np.float32)),
        node("Div", ["/3", "six_again"], ["/4"]),
        node("Conv", ["/4", "features.1.weight"], ["/5"], group=8, pads=[1] * 4),
        bn("features.1.bn", "/5", "/6"),
        node("Clip", ["/6", "zero", "six"], ["/7"]),
        node("Conv", ["/7", "features.2.weight", "features.2.bias"], ["/8"]),
        node("Add", ["/4", "/8"], ["/9"]),
        node("GlobalAveragePool", ["/9"], ["/10"]),
        node("Shape", ["/10"], ["/11"]),
        constant("i0", np.array(0, np.int64)),
        node("Gather", ["/11", "i0"], ["/12"], axis=0),
        constant("axes", ints(0)),
        node("Unsqueeze", ["/12", "axes"], ["/13"]),
        constant("open", ints(-1)),
        node("Concat", ["/13", "open"], ["/14"], axis=0),
        node("Reshape", ["/10", "/14"], ["/15"]),
        node("Gemm", ["/15", "classifier.0.weight", "classifier.0.bias"], ["/16"], alpha=1.0, beta=1.0, transB=1),
        node("HardSigmoid", ["/16"], ["/17"], alpha=1 / 6),
        node("Mul", ["/16", "/17"], ["/18"]),
        node("Flatten", ["/18"], ["/19"], axis=1),
        node("Gemm", ["/19", "classifier.3.weight", "classifier.3.bias"], ["logits"], transB=1),
    ],
    {"input.1": ["batch_size", 3, 10, 10]},
    {"logits": ["batch_size", 5]},
    {
        "features.0.weight": weights(8, 3, 3, 3),
        "features.0.bias": weights(8),
        "features.1.weight": weights(8, 1, 3, 3),
        **norm("features.1.bn", 8),
        "features.2.weight": weights(8, 8, 1, 1),
        "features.2.bias": weights(8),
        "classifier.0.weight": weights(12, 8),
        "classifier.0.bias": weights(12),
        "classifier.3.weight": weights(5, 12),
        "classifier.3.bias": weights(5),
    },
    17,
    low=-1.0,
)


def sklearn():
    """A multi-layer perceptron as skl2onnx exports it, probabilities and the label among its outputs."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    points = rng.uniform(0, 1, (300, 8)).astype(np.float32)
    classes = (points[:, 0] + points[:, 1] * points[:, 2] > 0.8).astype(int) + (points[:, 3] > 0.7)
    fitted = MLPClassifier((12,), max_iter=60, random_state=3).fit(points, classes)
    options = {id(fitted): {"zipmap": False}}
    expect("sklearn_mlp", to_onnx(fitted, points[:1], options=options, target_opset=15), {"X": points[:1]})
    surface = points[:, 0] * points[:, 1] - points[:, 2]
    fitted = MLPRegressor(hidden_layer_sizes=(10, 6), activation="tanh", max_iter=80, random_state=3).fit(points, surface)
    expect("sklearn_regressor", to_onnx(fitted, points[:1], target_opset=17), {"X": points[:1]})


try:
    sklearn()
except ImportError as error:
    print("sklearn_mlp is left as it stands:", error)
