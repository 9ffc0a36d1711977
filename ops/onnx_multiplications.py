"""Operators that multiply with a layer's weights in ONNX Runtime's optimised graphs."""

from __future__ import annotations

INTEGER_NODES = frozenset(
    {
        *("QLinearConv", "ConvInteger", "QGemm"),
        *("QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    }
)
FLOAT_NODES = frozenset(
    {
        *("Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose"),
        *("Gemm", "FusedGemm", "MatMul", "FusedMatMul"),
    }
)
