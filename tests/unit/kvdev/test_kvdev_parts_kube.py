"""Where the control plane's programs come from; a local HTTP server stands in for the release sites."""

import functools
import hashlib
import http.server
import io
import platform
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvdev.errors import KvdevError, RefusedDownloadError
from kvdev.parts import kube

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it."""
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has none of the programs."""
    for name in ("KUBE", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.fixture
def released(site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The release sites' files, and the wish for them."""
    folder, url = site
    monkeypatch.setenv("KUBE", "release")
    monkeypatch.setenv("KUBE_RELEASE_URL", f"{url}/kube/")
    monkeypatch.setenv("ETCD_RELEASE_URL", f"{url}/etcd")
    programs = folder / "kube" / kube.VERSION / "bin" / "linux" / MACHINE
    programs.mkdir(parents=True)
    for name in kube.NAMES[1:]:
        (programs / name).write_text(f"I am {name}")
        (programs / f"{name}.sha256").write_text(sha256(programs / name))
    etcd = folder / "etcd" / kube.ETCD_VERSION
    etcd.mkdir(parents=True)
    release = f"etcd-{kube.ETCD_VERSION}-linux-{MACHINE}"
    with tarfile.open(etcd / f"{release}.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo(f"{release}/etcd")
        member.size = len(b"I am etcd")
        tar.addfile(member, io.BytesIO(b"I am etcd"))
    (etcd / "SHA256SUMS").write_text(f"{sha256(etcd / f'{release}.tar.gz')}  {release}.tar.gz\n")
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fakes(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def silent(_: str) -> None:
    pass


def fake_go(folder: Path, build: str) -> Path:
    """A `go` that knows three packages; `build` is what it does to make the program `$output`."""
    program = fakes(folder, "go") / "go"
    program.write_text(f"""#!/bin/sh
case $1 in
env) echo go1.25.1 ;;
list) printf 'a\\nb\\nc\\n' ;;
build) while [ "$1" != -o ]; do shift; done; output=$2; {build} ;;
esac
""")
    return folder


def test_the_release_is_taken_when_asked_for_and_runs(released: Path) -> None:
    found = kube.programs(silent)
    assert {name: path.read_text() for name, path in found.items()} == {name: f"I am {name}" for name in kube.NAMES}
    assert all(path.stat().st_mode & 0o111 for path in found.values())


def test_a_program_with_another_sum_than_published_is_refused_and_nothing_is_kept(released: Path) -> None:
    next(released.glob("**/kube-scheduler")).write_text("I am wicked")
    with pytest.raises(RefusedDownloadError, match=r"kube-scheduler has the SHA-256 .* is published"):
        kube.programs(silent)
    with pytest.raises(RefusedDownloadError):
        kube.programs(silent)


def test_an_etcd_with_another_sum_than_published_is_refused(released: Path) -> None:
    sums = next(released.glob("**/SHA256SUMS"))
    sums.write_text(sums.read_text().replace(sums.read_text()[:8], "0badbad0"))
    with pytest.raises(RefusedDownloadError, match="etcd"):
        kube.programs(silent)


def test_an_etcd_without_a_published_sum_is_refused(released: Path) -> None:
    next(released.glob("**/SHA256SUMS")).write_text("")
    with pytest.raises(RefusedDownloadError, match="no sum"):
        kube.programs(silent)


def test_a_missing_release_is_told_with_its_address(released: Path) -> None:
    next(released.glob("**/kubectl")).unlink()
    with pytest.raises(KvdevError, match=r"http://.*/kubectl answered 404"):
        kube.programs(silent)


def test_a_site_that_does_not_answer_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBE", "release")
    monkeypatch.setenv("KUBE_RELEASE_URL", "http://127.0.0.1:9")
    with pytest.raises(KvdevError, match=r"http://127.0.0.1:9/.* cannot be reached"):
        kube.programs(silent)


def test_another_word_than_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBE", "relase")
    with pytest.raises(KvdevError, match="KUBE=relase is not known"):
        kube.programs(silent)


def test_kubebuilder_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets, path = fakes(tmp_path / "assets", *kube.NAMES), fakes(tmp_path / "bin", *kube.NAMES)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setenv("PATH", str(path))
    assert kube.programs(silent) == {name: assets / name for name in kube.NAMES}


def test_assets_that_lack_programs_are_told_and_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()
    path = fakes(tmp_path / "bin", *kube.NAMES)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(fakes(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")))
    monkeypatch.setenv("PATH", str(path))
    assert kube.programs(said.append)["etcd"] == path / "etcd"
    assert "lacks kube-controller-manager, kube-scheduler:" in said[0]


def test_without_any_they_are_compiled_once_under_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(tmp_path / "go", 'echo "#!/bin/sh" >"$output"; chmod +x "$output"; echo built >>"$COUNT"')
    count = tmp_path / "count"
    monkeypatch.setenv("COUNT", str(count))
    monkeypatch.setenv("PATH", f"{go}:/usr/bin:/bin")
    for _ in range(2):
        found = kube.programs(silent)
    assert set(found) == set(kube.NAMES)
    assert all(path.is_file() for path in found.values())
    assert count.read_text() == "built\n"


def test_a_compile_that_fails_shows_the_compilers_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(tmp_path / "go", "echo 'main.go:7: no such package' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{go}:/usr/bin:/bin")
    with pytest.raises(KvdevError, match=r"ended with code 1; its last lines:\nmain.go:7: no such package"):
        kube.programs(silent)
