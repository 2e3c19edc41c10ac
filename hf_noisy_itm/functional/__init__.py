"""Equations: tensors or arrays in, tensors or arrays out. No model, no device, no process, no file."""
