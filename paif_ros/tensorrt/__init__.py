"""Builds, keeps and checks TensorRT engines; importable without TensorRT or CUDA."""
