"""Primitive operators, chains of them, and writing a chain as torch modules or ONNX nodes."""
