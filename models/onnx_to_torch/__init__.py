"""ONNX networks as plain torch modules: `conversion` walks the graph, the rest hold converters."""
