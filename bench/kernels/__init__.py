"""Kernels that are measured by themselves, each beside what others use."""
