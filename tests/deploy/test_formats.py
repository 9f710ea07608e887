"""Packages that are missing are told of in one line, before anything is imported."""

from __future__ import annotations

from typing import get_args

import pytest

from vitprune.deploy import formats
from vitprune.errors import InputError


def test_the_line_names_the_packages_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if "onnx" in name else name)
    with pytest.raises(InputError) as refused:
        formats.check_installed(["openvino"], write=True)
    assert str(refused.value) == (
        "export=openvino needs onnx and onnxscript, which are not installed: "
        "pip install 'vitprune[deploy]'"
    )
    with pytest.raises(InputError, match=r"^runtime=onnx needs onnxruntime, which is not"):
        formats.check_installed(["onnx"], write=False)
    formats.check_installed(["openvino"], write=False)
    formats.check_installed(["torch"], write=True)
    assert not formats.runs("onnx")
    assert formats.runs("openvino")


def test_a_precision_is_of_some_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    assert formats.having("int8", ["torch", "openvino", "onnx"]) == ["openvino", "onnx"]
    assert {one for form in formats.FORMATS.values() for one in form.reduced} == set(
        get_args(formats.Reduced)
    )
    assert formats.FORMATS["openvino"].files_in("int8") == ("model-int8.xml", "model-int8.bin")
    formats.check_precisions(["float16", "int8"], ["onnx", "openvino"])
    with pytest.raises(InputError, match=r"^deploy\.precision=\[bfloat16\] is of openvino; add it"):
        formats.check_precisions(["bfloat16"], ["onnx", "torch"])
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    formats.check_precisions(["int8"], ["onnx"])
    with pytest.raises(InputError, match=r"needs nncf, which is not installed: pip install 'vit"):
        formats.check_precisions(["int8"], ["onnx", "openvino"])
