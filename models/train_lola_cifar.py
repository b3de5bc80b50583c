#!/usr/bin/env python3
"""Trains `lola_cifar.onnx`, LoLa's network for CIFAR-10 with its linear layers collapsed, with TensorFlow.

    python3 train_lola_cifar.py CIFAR_DIR OUT_DIR

CIFAR_DIR as for cifar10.py. Each square is that of a normalised value whose mean starts at 1, `(g x + 1)^2`, so that training begins
nearly linear; the normalisations before and after a square become part of the convolutions and of the last layer. Seeds are fixed; the
order in which a processor adds floats can still change the last digits. Needs numpy, tensorflow-cpu and onnx; half an hour of two cores.
"""
import sys

import numpy as np
import tensorflow as tf

import cifar10

K = tf.keras
EPOCHS, BATCH, RATE, SEED, SHIFT = 20, 128, 2e-3, 5, 3
DECAY, SMOOTHING, DROPPED, SLOPE, EPSILON = 1e-4, 0.05, (0.1, 0.3), 0.35, 1e-3
CLASSES = 10


def squares(x, maps, kernel, dropped):
    """A convolution of stride 2, normalised, squared, normalised."""
    x = K.layers.Conv2D(maps, kernel, 2, use_bias=False, kernel_regularizer=K.regularizers.l2(DECAY))(x)
    slope = K.initializers.Constant(SLOPE)
    x = K.layers.BatchNormalization(momentum=0.95, gamma_initializer=slope, beta_initializer="ones")(x)
    x = K.layers.BatchNormalization(momentum=0.95)(x * x)
    return x, K.layers.Dropout(dropped)


def network():
    """Scores for pictures [N, 32, 32, 3] from 0 to 1."""
    pictures = K.Input((32, 32, 3))
    x, drop = squares(K.layers.ZeroPadding2D(1)(pictures), 83, 8, DROPPED[0])
    x, drop_last = squares(drop(x), 163, 6, DROPPED[1])
    small = K.initializers.RandomNormal(stddev=0.003)
    last = K.layers.Dense(CLASSES, kernel_initializer=small, kernel_regularizer=K.regularizers.l2(DECAY))
    return K.Model(pictures, last(drop_last(K.layers.Flatten()(x))))


class Cycle(K.optimizers.schedules.LearningRateSchedule):
    """A linear rise over the first 15 %, then half a cosine."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, step):
        part = tf.cast(step, tf.float32) / self.steps
        falling = 0.5 * (1 + tf.cos(np.pi * (part - 0.15) / 0.85)) + 1e-3
        return RATE * tf.where(part < 0.15, 0.1 + 0.9 * part / 0.15, falling)


def changed(padded, picked, rng):
    """Pictures shifted by up to three pixels, half of them mirrored."""
    down, right = rng.integers(0, 2 * SHIFT + 1, (2, len(picked)))
    batch = np.stack([padded[i, d : d + 32, r : r + 32] for i, d, r in zip(picked, down, right)])
    mirrored = rng.random(len(picked)) < 0.5
    batch[mirrored] = batch[mirrored, :, ::-1]
    return tf.constant(batch.astype(np.float32) / 255)


def train(pictures, labels, test, test_labels):
    """The network after the last epoch."""
    rng = np.random.default_rng(SEED)
    tf.random.set_seed(SEED)
    net, per_epoch = network(), len(pictures) // BATCH
    optimizer = K.optimizers.Adam(Cycle(per_epoch * EPOCHS), clipnorm=1.0)
    cross_entropy = K.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = cross_entropy(tf.one_hot(y, CLASSES), net(x, training=True)) + tf.add_n(net.losses)
        optimizer.apply_gradients(zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables))

    predict = tf.function(lambda x: tf.argmax(net(x, training=False), 1))
    padded = np.pad(pictures, ((0, 0), (SHIFT,) * 2, (SHIFT,) * 2, (0, 0)))
    for epoch in range(EPOCHS):
        order = rng.permutation(len(pictures))
        for i in range(per_epoch):
            picked = order[i * BATCH : (i + 1) * BATCH]
            step(changed(padded, picked, rng), tf.constant(labels[picked]))
        parts = [predict(tf.constant(test[k : k + 500].astype(np.float32) / 255)) for k in range(0, len(test), 500)]
        right = (np.concatenate(parts) == test_labels).sum()
        print(f"epoch {epoch + 1}/{EPOCHS}: {right} of {len(test_labels)} test pictures", flush=True)
    return [weight.numpy().astype(np.float64) for weight in net.weights]


def folded(weights):
    """The weights of convolution, square, convolution, square, fully connected layer: normalisations are gone."""

    def affine(gamma, beta, mean, variance):
        factor = gamma / np.sqrt(variance + EPSILON)
        return factor, beta - mean * factor

    conv1, before1, after1 = weights[0], affine(*weights[1:5]), affine(*weights[5:9])
    conv2, before2, after2 = weights[9], affine(*weights[10:14]), affine(*weights[14:18])
    dense, bias = weights[18].reshape(-1, 163, CLASSES), weights[19]
    # Neither the second convolution nor the last layer pads, so that addends fold exactly.
    first = conv1 * before1[0], before1[1]
    second_bias = (conv2 * after1[1][:, None]).sum((0, 1, 2)) * before2[0] + before2[1]
    second = conv2 * after1[0][:, None] * before2[0], second_bias
    bias = bias + (dense * after2[1][:, None]).sum((0, 1))
    # Rows of the last layer in ONNX's order: channels before places.
    dense = (dense * after2[0][:, None]).transpose(2, 1, 0).reshape(CLASSES, -1)
    return [(kernel.transpose(3, 2, 0, 1), addend) for kernel, addend in (first, second)] + [(dense, bias)]


def export(layers, path):
    """Standard ONNX, opset 17."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tensors = {}
    for name, (weight, addend) in zip(("conv1", "conv2", "fc"), layers):
        tensors |= {f"{name}.weight": weight, f"{name}.bias": addend}
    def conv(name, source, kernel, pads):
        return helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [name], name=name,
                                kernel_shape=[kernel] * 2, strides=[2, 2], pads=pads)
    nodes = [
        conv("conv1", "input", 8, [1] * 4),
        helper.make_node("Mul", ["conv1", "conv1"], ["square1"], name="square1"),
        conv("conv2", "square1", 6, [0] * 4),
        helper.make_node("Mul", ["conv2", "conv2"], ["square2"], name="square2"),
        helper.make_node("Flatten", ["square2"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["output"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "lola_cifar",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="oribi")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    folder, out = sys.argv[1:3]
    (pictures, labels), (test, test_labels) = cifar10.load(folder)
    weights = train(pictures.transpose(0, 2, 3, 1), labels, test.transpose(0, 2, 3, 1), test_labels)
    export(folded(weights), f"{out}/lola_cifar.onnx")


if __name__ == "__main__":
    main()
