"""The generated cffi module."""

from fsmend_agent.kernel import _build


def test_an_outdated_module_is_noticed_and_made_anew(tmp_path, monkeypatch, capsys):
    target = tmp_path / "_ffi.py"
    target.write_text("# old\n")
    monkeypatch.setattr(_build, "TARGET", target)
    assert _build.main(["--check"]) == 1
    assert "out of date" in capsys.readouterr().err
    assert _build.main([]) == 0
    assert _build.main(["--check"]) == 0
