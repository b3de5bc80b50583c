#!/usr/bin/env python3
"""Writes the ten digits of the demo and the reference scores of the models here.

    python3 make_digits.py MNIST_DIR OUT_DIR

The digits are the first test image of each class, unchanged, as grey PNG files. The scores come from onnxruntime on
the CPU, one image at a time. Needs numpy, pillow and onnxruntime.
"""
import json
import os
import sys

import numpy as np
import onnxruntime
from PIL import Image

from train_digits import idx

MODELS = ["digits", "deepsecure_b1", "cryptonets", "lola_small", "minionn_mnist"]


def main():
    data, out = sys.argv[1:3]
    images, labels = idx(f"{data}/t10k-images-idx3-ubyte"), idx(f"{data}/t10k-labels-idx1-ubyte")
    chosen = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    os.makedirs(f"{out}/digits", exist_ok=True)
    lines = ["file\tlabel\tMNIST test image\n"]
    for digit, index in enumerate(chosen):
        Image.fromarray(images[index]).save(f"{out}/digits/{digit}.png", optimize=True)
        lines.append(f"{digit}.png\t{digit}\t{index}\n")
    with open(f"{out}/digits/labels.tsv", "w") as file:
        file.writelines(lines)
    reference = {}
    for name in MODELS:
        session = onnxruntime.InferenceSession(f"{out}/{name}.onnx", providers=["CPUExecutionProvider"])
        inputs = images.astype(np.float32)[:, None, None] / np.float32(255)
        scores = np.stack([session.run(None, {"input": image})[0][0] for image in inputs])
        right = int((scores.argmax(1) == labels).sum())
        print(f"{name}: {right} of {len(labels)} test images")
        reference[name] = {
            "correct_of_10000": right,
            "scores": {f"{d}.png": [round(float(v), 6) for v in scores[i]] for d, i in enumerate(chosen)},
        }
    with open(f"{out}/reference.json", "w") as file:
        json.dump(reference, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
