from collections.abc import Callable
from pathlib import Path

import pytest

from collector import config, setup
from collector.errors import SetupError
from collector.ingest import ca
from collector.ingest.errors import CaError
from collector.main import main
from collector.store import StoreError, hosts, open_store, users
from collector.tickets.errors import Invalid
from tests.collector.ingest.company import link, written

NOW = 1_800_000_000.0


def init(folder: Path, company: str = "Alfa sp. z o.o.", login: str = "admin") -> setup.Prepared:
    return setup.initialise(folder, company=company, login=login, at=NOW, environ={})


def verbs(done: setup.Prepared) -> list[str]:
    return [line.split()[0] for line in done.lines]


def test_init_leaves_everything_that_serve_needs_and_nothing_others_can_read(tmp_path: Path) -> None:
    done = init(tmp_path / "here")
    assert set(verbs(done)) == {"made"}
    assert len(done.password) >= 16
    modes = {path.relative_to(tmp_path / "here").as_posix(): path.stat().st_mode & 0o077 for path in files(tmp_path)}
    assert {name for name, mode in modes.items() if mode} == {"ca/ca.pem"}
    assert set(modes) - {"czuwak.db-journal"} == {
        "ca/ca-key.pem",
        "ca/ca.pem",
        "czuwak.db",
        "czuwak.toml",
        "secrets/web",
    }


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_init_again_keeps_all_and_tells_how_to_set_a_password(tmp_path: Path) -> None:
    init(tmp_path)
    before = {path: path.read_bytes() for path in files(tmp_path) if path.suffix != ".db"}
    again = init(tmp_path)
    assert set(verbs(again)) == {"kept"}
    assert again.password == ""
    assert "czuwak user passwd admin" in again.lines[-1]
    assert {path: path.read_bytes() for path in before} == before


class Killed(BaseException):
    """The process ends here, whatever it was about to do."""


# Every write of init that a kill can come between, as the place whose call ends the process.
STEPS: dict[str, tuple[object, str, int]] = {
    "before the configuration": (setup, "_write", 1),
    "before the secret": (setup, "_write", 2),
    "before the authority": (ca, "create", 1),
    "between the authority's key and certificate": (ca, "_write_new", 2),
    "before the authority is in its place": (ca, "_sync_directory", 1),
    "before the database": (setup, "upgrade", 1),
    "before the people": (setup, "_people", 1),
    "between company and user": (users, "add_user", 1),
}


@pytest.mark.parametrize(("place", "name", "time"), STEPS.values(), ids=list(STEPS))
def test_init_cut_short_anywhere_goes_on_when_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, time: int
) -> None:
    monkeypatch.setattr(place, name, dies(getattr(place, name), time))
    with pytest.raises(Killed):
        init(tmp_path)
    monkeypatch.undo()
    done = init(tmp_path)
    assert done.password
    assert ca.load(done.config.ca.dir).fingerprint
    assert not [path for path in tmp_path.rglob("*.part") if path.is_dir()]
    store = open_store(done.config.database.url)
    with store.read() as conn:
        assert [c.slug for c in hosts.companies(conn)] == ["alfa-sp-z-o-o"]
        assert [u.login for u in users.users(conn)] == ["admin"]
    store.close()


def dies(real: Callable[..., object], time: int) -> Callable[..., object]:
    calls = 0

    def call(*args: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == time:
            raise Killed
        return real(*args, **named)

    return call


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(SetupError, match=r"holds letters.txt but no czuwak.toml: it is not ours"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_fresh_file_system_is_no_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert init(tmp_path).password


def test_an_authority_without_its_certificate_is_never_replaced(tmp_path: Path) -> None:
    config_ = init(tmp_path).config
    key = (config_.ca.dir / ca.KEY_FILE).read_bytes()
    (config_.ca.dir / ca.CERTIFICATE_FILE).unlink()
    with pytest.raises(SetupError, match=r"restore it from a backup"):
        init(tmp_path)
    assert (config_.ca.dir / ca.KEY_FILE).read_bytes() == key


def test_a_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    key = init(tmp_path).config.ca.dir / ca.KEY_FILE
    key.chmod(0o644)
    with pytest.raises(CaError, match="chmod 600"):
        init(tmp_path)


@pytest.mark.parametrize(("company", "login", "error"), [("日本", "admin", SetupError), ("Alfa", " ", Invalid)])
def test_what_cannot_be_named_is_told_before_anything_is_made(
    tmp_path: Path, company: str, login: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        init(tmp_path / "here", company, login)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("where", ["/proc/czuwak", "/proc/version"])
def test_a_place_that_cannot_be_written_is_one_sentence(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", where]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"czuwak: {where}: the folder cannot be made: ")
    assert said.count("\n") == 1


def test_a_database_that_cannot_be_made_names_itself_and_the_file_it_was_configured_in(tmp_path: Path) -> None:
    path = tmp_path / "czuwak.toml"
    path.write_text('[database]\nurl = "sqlite:///away/czuwak.db"\n')
    with pytest.raises(SetupError) as caught:
        init(tmp_path)
    assert f"sqlite:///{tmp_path}/away/czuwak.db: " in str(caught.value)
    assert f"(configured in {path})" in str(caught.value)


def test_the_template_of_init_is_a_configuration(tmp_path: Path) -> None:
    assert init(tmp_path).config == config.load(tmp_path / "czuwak.toml", {})


@pytest.mark.parametrize(
    ("name", "short"), [("Łódź/Żółw S.A.", "lodz-zolw-s-a"), ("  A  b ", "a-b"), ("x" * 60, "x" * 40)]
)
def test_a_companys_short_name_has_letters_digits_and_dashes(name: str, short: str) -> None:
    assert setup.slug(name) == short


def test_an_upgrade_that_is_only_tried_changes_nothing(tmp_path: Path) -> None:
    loaded = init(tmp_path).config
    assert setup.upgrade(loaded, dry_run=True) == []
    (tmp_path / "czuwak.db").unlink()
    with pytest.raises(SetupError, match="there is no database"):
        setup.upgrade(loaded, dry_run=True)
    assert not (tmp_path / "czuwak.db").exists()
    with pytest.raises(StoreError):
        open_store(loaded.database.url)


def test_the_companys_own_authority_is_taken_over_and_kept(tmp_path: Path) -> None:
    root = link("Acme root")
    given = written(tmp_path / "given", link("Acme devices", root), root)
    made = [
        setup.initialise(tmp_path / "cz", company="Acme", login="admin", at=1.0, environ={}, authority=given)
        for _ in range(2)
    ]
    assert ca.load(made[1].config.ca.dir).ca_pem == given[0].read_bytes()
    other = written(tmp_path / "other", root)
    with pytest.raises(SetupError, match="holds another certificate authority"):
        setup.initialise(tmp_path / "cz", company="Acme", login="admin", at=1.0, environ={}, authority=other)


def test_a_certificate_without_its_key_is_a_mistake_of_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "cz"), "--ca-cert", "x"]) == 2
    assert "--ca-cert and --ca-key belong together" in capsys.readouterr().err
