"""What went wrong as the person at the line reads it: a Chinese sentence, and behind it in brackets
what the machine says of it in English, for whoever is asked next. Pure.
"""

from collections.abc import Mapping

from edge.errors import (
    CameraError,
    CommissioningError,
    EdgeError,
    ImageError,
    LedgerError,
    ModelError,
    PlcError,
    PlcTimeoutError,
    SettingsError,
)

_CHINESE: Mapping[type[EdgeError], str] = {
    PlcTimeoutError: "PLC 没有按时回答：查线，查 PLC 是否在 RUN",
    PlcError: "PLC 或它的端口用不了：查线、端口、波特率、站号，查节点是不是还在运行",
    CameraError: "相机没有给出能用的图：查电源、线、地址；文件夹和文件查路径",
    ImageError: "有一张图不能用：用看图软件打开，另存为 8 位 PNG 或 JPEG",
    ModelError: "配方或模型不能用：查文件和锁定的 sha256",
    LedgerError: "写不进磁盘，或别的程序占着：查磁盘，查节点是不是还在运行",
    SettingsError: "配置或配方有错：改好，再运行 quanjian-edge check",
}
"""A class before the one it is derived from."""


def of(wrong: EdgeError) -> str:
    """The error; one of the commissioning's own is Chinese already."""
    if isinstance(wrong, CommissioningError):
        return str(wrong)
    chinese = next((text for kind, text in _CHINESE.items() if isinstance(wrong, kind)), "没有做成")
    return quoted(chinese, f"{wrong} {wrong.hint}")


def quoted(chinese: str, english: str | None) -> str:
    """The sentence with the machine's own words, on one line; None = it has none."""
    return chinese if english is None else f"{chinese}（{' '.join(english.split())}）"
