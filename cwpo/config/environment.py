"""Every environment variable: its name, what it means, its default. The only file that reads or writes them.

Other code asks `settings.workers`, `settings.home`, …; a value is looked at when it is asked for, so that a variable
that a command does not use cannot stop it. Free of torch.
"""

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from cwpo.bounds import variables as to
from cwpo.errors import ConfigError
from cwpo.redaction import know_from

T = TypeVar("T")

_LEAST_GRACE, _TO_END = 15, 5  # seconds: that ranks have to stop at least; that their job has left after that
PEOPLE, PASSED_ON, OTHERS = "people", "passed on", "others"


class Variable(Generic[T]):
    """One variable as an attribute of `Environment`. `default_text`: how README says what holds without it.

    `audience`: PEOPLE may set it; PASSED_ON is written by one of our processes for another; OTHERS set it for every
    program, and we follow. An empty value counts as none, unless `empty` is given: what it means then.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[str, str], T],
        default: T,
        meaning: str,
        default_text: str,
        *,
        audience: str = PEOPLE,
        empty: T | None = None,
    ) -> None:
        self.name, self.meaning, self.default_text, self.audience = name, meaning, default_text, audience
        self._read, self._default, self._empty = read, default, empty

    @overload
    def __get__(self, instance: None, owner: type) -> "Variable[T]": ...
    @overload
    def __get__(self, instance: "Environment", owner: type) -> T: ...
    def __get__(self, instance: "Environment | None", owner: type) -> "Variable[T] | T":
        if instance is None:
            return self
        text = instance.values.get(self.name)
        if text is None:
            return self._default
        if not text.strip():
            return self._default if self._empty is None else self._empty
        return self._read(self.name, text.strip())


class Environment:
    """The variables of a process, one line each; the table of docs/operations.md is tested against these lines."""

    home_folder = Variable(
        "CWPO_HOME",
        to.folder,
        Path("var/cwpo"),
        "artifacts, checkpoints, logs, the embedded database",
        "`var/cwpo`",
    )
    database_url = Variable[str | None](
        "DATABASE_URL", to.text, None, "a Postgres or SQLite URL", "`cwpo.sqlite` under `CWPO_HOME`"
    )
    redis_url = Variable[str | None](
        "REDIS_URL",
        to.text,
        None,
        "a running Redis or Valkey server, 6.2 or newer",
        "embedded, on a private socket",
    )
    redis_trusted = Variable(
        "CWPO_REDIS_TRUSTED", to.switch, False,
        "1: a Redis without a password on a TCP port is used, whoever reaches it", "it is refused",
    )  # fmt: skip
    shared_home = Variable(
        "CWPO_SHARED_HOME", to.switch, False,
        "1: what is written under `CWPO_HOME` is for the folder's group, too", "for its owner alone",
    )  # fmt: skip
    data_roots = Variable[tuple[Path, ...] | None](
        "CWPO_DATA_ROOTS", to.folders, None,
        "folders that the dashboard may read and write on the server, with `:` between",
        "`CWPO_HOME`, the folder it was started in, and the user's home",
    )  # fmt: skip
    store_url = Variable[str | None](
        "CWPO_STORE",
        to.address,
        None,
        "artifacts shared by machines without a common disk, as `s3://bucket/prefix`",
        "the folder under `CWPO_HOME`",
    )
    workers = Variable[int | None]("WORKERS", to.count, None, "CPU workers", "one per core; none beside GPUs")
    port = Variable("PORT", to.port, 8501, "first port to try for the dashboard", "8501")
    gpus = Variable[tuple[str, ...] | None](
        "CUDA_VISIBLE_DEVICES", to.gpus, None, "the GPUs that get a worker", "all", empty=()
    )
    tune_malloc = Variable(
        "CWPO_TUNE_MALLOC",
        to.switch,
        True,
        "0: freed memory goes back to the system at once; training on a CPU is then up to 1.2 times slower",
        "1 in jobs, `cwpo run`, `label` and `reproduce`",
    )
    cpu_ranks = Variable[int | None](
        "CWPO_CPU_RANKS",
        to.count,
        None,
        "processes that compute a stage together on a CPU; to try out several cards",
        "as many as `execution.gpus` claims",
    )
    rank_silence = Variable(
        "CWPO_RANK_SILENCE", to.count, 60, "seconds without a sign of life after which a rank counts as hung", "60"
    )
    rank_patience = Variable[int | None](
        "CWPO_RANK_GRACE", to.count, None,
        "seconds that ranks have to stop when they are asked to, before they are killed",
        "`CWPO_STOP_GRACE` less 5, at least 15",
    )  # fmt: skip
    rank_wait = Variable(
        "CWPO_RANK_WAIT", to.count, 1800, "seconds that a rank waits for the others before it gives up", "1800"
    )
    vllm_python = Variable[str | None](
        "CWPO_VLLM_PYTHON", to.text, None, "for `evaluation.engine: vllm`: the Python of an environment that has vLLM",
        "this one",
    )  # fmt: skip
    judge_url = Variable[str | None](
        "CWPO_JUDGE_URL", to.address, None,
        "for judge models: a server of OpenAI's chat completions, as `https://host/v1`", "no judge model by a server",
    )  # fmt: skip
    judge_key = Variable[str | None](
        "CWPO_JUDGE_KEY", to.text, None, "what that server asks for; it is stored nowhere", "no key is sent"
    )
    judge_price = Variable[tuple[float, float] | None](
        "CWPO_JUDGE_PRICE", to.prices, None,
        "what a million tokens cost there, read and written: `2.5,10`", "costs are said in tokens",
    )  # fmt: skip
    judge_parallel = Variable("CWPO_JUDGE_PARALLEL", to.count, 4, "questions that are open there at once", "4")
    judge_timeout = Variable("CWPO_JUDGE_TIMEOUT", to.count, 120, "seconds that a reply may take", "120")
    log_format = Variable(
        "CWPO_LOG", to.log_format, "text", "`json`: logs of workers, launcher and web as JSON lines", "`text`"
    )
    stop_grace = Variable(
        "CWPO_STOP_GRACE",
        to.count,
        25,
        "seconds that jobs have to finish a step and write a checkpoint when the workers are stopped",
        "25",
    )
    keep_checkpoints = Variable[int | None](
        "CWPO_KEEP_CHECKPOINTS", to.count, None,
        "days after which checkpoints of stages that ended or were cancelled are deleted",
        "only by `cwpo gc`, after 7",
    )  # fmt: skip
    keep_exports = Variable[int | None](
        "CWPO_KEEP_EXPORTS", to.count, None, "days after which exported models and rerun bundles are deleted",
        "only by `cwpo gc`, after 30",
    )  # fmt: skip
    webhook = Variable[str | None](
        "CWPO_WEBHOOK", to.text, None,
        "the address that is told when a run or a sweep ends; several with commas between", "nobody is told",
    )  # fmt: skip
    public_url = Variable[str | None](
        "CWPO_PUBLIC_URL", to.address, None,
        "where people reach the dashboard: one host more that it answers to, and its path; for links in messages, too",
        "the address that `make start` printed",
    )  # fmt: skip
    proxy_header = Variable[str | None](
        "CWPO_PROXY_HEADER", to.header_name, None,
        "the header in which a trusted proxy says who somebody is, as `X-Forwarded-User`", "no proxy is trusted",
    )  # fmt: skip
    proxy_addresses = Variable[tuple[str, ...]](
        "CWPO_PROXY_ADDRESS", to.ip_addresses, (),
        "the address that it connects from, or that a proxy in front of a login does, whose `X-Forwarded-For` then "
        "tells clients apart; several with commas between",
        "none",
    )  # fmt: skip
    mirror = Variable[str | None](
        "CWPO_MIRROR", to.text, None,
        "where copies of runs are kept up to date: `mlflow`, `trackio`, `wandb`; several with commas between",
        "nowhere",
    )  # fmt: skip
    mirror_project = Variable(
        "CWPO_MIRROR_PROJECT", to.text, "cwpo", "the experiment or project that copies of runs are in", "`cwpo`"
    )
    mlflow_uri = Variable[str | None](
        "MLFLOW_TRACKING_URI", to.text, None, "for copies in MLflow: the address of its server", "none"
    )
    trackio_url = Variable[str | None](
        "TRACKIO_SERVER_URL", to.text, None, "for copies in trackio: the address of its server", "none"
    )
    default_role = Variable(
        "CWPO_DEFAULT_ROLE", to.text, "viewer",
        "what somebody may do who signs in for the first time: `viewer`, `annotator`, `runner`, `admin`", "`viewer`",
    )  # fmt: skip
    admins = Variable[tuple[str, ...]](
        "CWPO_ADMINS", to.names, (), "who are administrators, as the login names them; with commas between",
        "those who are given the role",
    )  # fmt: skip
    traceback = Variable("CWPO_TRACEBACK", to.switch, False, "1: errors of `cwpo` with their traceback", "one sentence")
    demo_exit = Variable("DEMO_EXIT", to.switch, False, "1: `make demo` stops after the table", "until Ctrl-C")

    parent_pid = Variable[int | None](
        "CWPO_PARENT_PID", to.process, None, "the process to end with", "none", audience=PASSED_ON
    )
    worker_id = Variable[int | None](
        "CWPO_WORKER_ID",
        to.process,
        None,
        "the row of the worker that a job belongs to",
        "none",
        audience=PASSED_ON,
    )
    worker_device = Variable("CWPO_DEVICE", to.text, "cpu", "cpu or gpu: what the worker computes on", "cpu",
                             audience=PASSED_ON)  # fmt: skip
    limited = Variable(
        "CWPO_LIMITED", to.switch, False, "1: only files below CWPO_DATA_ROOTS, as in the dashboard and what it starts",
        "0", audience=PASSED_ON,
    )  # fmt: skip
    started_in = Variable[Path | None](
        "CWPO_STARTED_IN", to.folder, None, "the folder that the program was started in", "the current one",
        audience=PASSED_ON,
    )  # fmt: skip
    hub_bars_off = Variable[str | None](
        "HF_HUB_DISABLE_PROGRESS_BARS",
        to.text,
        None,
        "1: no bars for downloads",
        "1 in `cwpo run`",
        audience=OTHERS,
    )
    threads = Variable[str | None](
        "OMP_NUM_THREADS",
        to.text,
        None,
        "CPU threads of torch, noted with an attempt",
        "1 in workers",
        audience=OTHERS,
    )
    malloc_mmap_max = Variable[str | None](
        "MALLOC_MMAP_MAX_", to.text, None, "glibc: how many blocks are mapped one by one", "0", audience=OTHERS
    )
    gloo_interface = Variable[str | None](
        "GLOO_SOCKET_IFNAME", to.text, None, "the network of ranks on the CPU", "loopback", audience=OTHERS
    )
    nccl_interface = Variable[str | None](
        "NCCL_SOCKET_IFNAME", to.text, None, "the network of ranks on cards", "loopback", audience=OTHERS
    )
    forwarded_allow_ips = Variable[str | None](
        "FORWARDED_ALLOW_IPS", to.text, None, "whom the web server believes about addresses of others; empty: nobody",
        "empty where we start it", audience=OTHERS, empty="",
    )  # fmt: skip
    runtime_folder = Variable[str | None](
        "XDG_RUNTIME_DIR", to.text, None, "where the embedded Redis' socket may lie", "/tmp",  # noqa: S108
        audience=OTHERS,
    )  # fmt: skip

    mlflow_token = Variable[str | None](
        "MLFLOW_TRACKING_TOKEN", to.text, None, "what lets us into an MLflow server", "none", audience=OTHERS
    )
    mlflow_user = Variable[str | None](
        "MLFLOW_TRACKING_USERNAME", to.text, None, "the same as a name", "none", audience=OTHERS
    )
    mlflow_password = Variable[str | None](
        "MLFLOW_TRACKING_PASSWORD", to.text, None, "and a password", "none", audience=OTHERS
    )
    trackio_token = Variable[str | None](
        "TRACKIO_WRITE_TOKEN", to.text, None, "what lets us write there, unless the address says it", "none",
        audience=OTHERS,
    )  # fmt: skip

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    @property
    def home(self) -> Path:
        """CWPO_HOME as an absolute path: artifacts, embedded database, logs."""
        return self.home_folder.resolve()

    @property
    def rank_grace(self) -> int:
        """Seconds that ranks have to stop: all that their job has, but for what it takes to end them and to say so.

        Where that is less than 15, it is 15, or as much as the job has."""
        if self.rank_patience is not None:
            return self.rank_patience
        return max(self.stop_grace - _TO_END, min(_LEAST_GRACE, self.stop_grace))

    @property
    def own_worker(self) -> int:
        """The row of the worker whose process this is."""
        if self.worker_id is None:
            raise ConfigError("CWPO_WORKER_ID", "is set by the supervisor; start the workers with `python -m workers`.")
        return self.worker_id


@dataclass(frozen=True, kw_only=True)
class ReadElsewhere:
    """Variables that people may set and that something else reads."""

    names: tuple[str, ...]
    reader: str
    meaning: str
    default_text: str


READ_ELSEWHERE = (
    ReadElsewhere(
        names=("HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "HF_HUB_OFFLINE"),
        reader="huggingface_hub",
        meaning="the hub, its token, its cache; 1: the cache alone, as `cwpo fetch` filled it",
        default_text="huggingface.co, none, `~/.cache/huggingface`, 0",
    ),
    ReadElsewhere(
        names=("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_MODE"),
        reader="wandb",
        meaning="for copies in W&B: its key, its server, whose project; `offline`: files under `CWPO_HOME`",
        default_text="as `wandb login` left them",
    ),
    ReadElsewhere(
        names=("PYTHON", "TORCH_INDEX"),
        reader="tools/venv.sh",
        meaning="for `make`: the interpreter, the package index of torch",
        default_text="the first suited one, PyPI",
    ),
    ReadElsewhere(
        names=("CHROMIUM",),
        reader="tests/browser.py",
        meaning="for `make test`: the browser",
        default_text="found or installed",
    ),
)

_own: MutableMapping[str, str] = os.environ
_ORDER, _AS_LISTED = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"  # CUDA by itself begins with the fastest card

settings = Environment(_own)
know_from(lambda: _own)


def variables() -> Iterator[Variable[Any]]:
    """Every variable that this program reads, in the order of the declarations."""
    return (value for value in vars(Environment).values() if isinstance(value, Variable))


def for_child(**changes: str) -> dict[str, str]:
    """What a child process is given: all that this one has, with changes; it numbers cards as nvidia-smi does."""
    return {**_own, _ORDER: _own.get(_ORDER) or _AS_LISTED, **changes}


def number_cards_as_listed() -> None:
    """Let CUDA in this process number the cards as nvidia-smi does, unless somebody chose; before it looks at them."""
    set_here(**{_ORDER: _own.get(_ORDER) or _AS_LISTED})


def set_here(**changes: str) -> None:
    """Set variables of this process, for the libraries in it and for the programs it becomes."""
    _own.update(changes)


def forget_here(name: str) -> None:
    """Take a variable away from this process."""
    _own.pop(name, None)
