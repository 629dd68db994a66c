"""NVIDIA cards through NVML and NVIDIA's own ``pynvml`` module."""
