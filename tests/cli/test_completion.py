import shutil
import subprocess
from pathlib import Path

import pytest

from burnish.cli.main import COMMANDS, main


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def completed(text: str, line: str, folder: Path) -> list[str]:
    """Return what bash offers for the last word of ``line``."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{text}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _burnish; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ended = subprocess.run(
        ["bash", "-c", code], cwd=folder, capture_output=True, text=True
    )
    return ended.stdout.split()


def test_bash_completes_commands_options_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if shutil.which("bash") is None:
        pytest.skip("this system has no bash")
    text = script(capsys, "bash")
    (tmp_path / "model.mpk").touch()

    assert completed(text, "burnish sh", tmp_path) == ["show", "shard"]
    assert completed(text, "burnish show --st", tmp_path) == ["--stats"]
    assert completed(text, "burnish show mod", tmp_path) == ["model.mpk"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_every_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(capsys, shell)

    assert all(name in text for name in COMMANDS)
    assert "stats" in text


def test_the_help_says_how_to_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert 'eval "$(burnish completion bash)"' in capsys.readouterr().out
