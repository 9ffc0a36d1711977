"""Networks in int8: ONNX Runtime's own static quantiser, with chains balanced before it."""
