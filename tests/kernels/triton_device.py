"""Where the Triton cases run: on a GPU, or under the interpreter on a machine without one."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Triton 3.7's interpreter keeps bfloat16 as raw bits and multiplies those in tl.dot.
DTYPES_OF_PRODUCTS = [torch.float32, torch.float16] + [torch.bfloat16] * torch.cuda.is_available()
